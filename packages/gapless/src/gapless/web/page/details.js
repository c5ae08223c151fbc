// The app that is open: its instances, the release under way, its log.

import { byId, setCells, setText, shown } from "./dom.js";
import { picture } from "./picture.js";
import { duration, fromTo, since, size } from "./quantities.js";
import * as reports from "./reports.js";

const MOST_LINES = 400;
const lines = [];
let last = "";

export function open(name) {
  lines.length = 0;
  last = "";
  setText(byId("app-title"), name);
  byId("instances").tBodies[0].replaceChildren();
  byId("log").replaceChildren();
  byId("release").hidden = true;
  byId("app").hidden = false;
  byId("app-title").focus();
  reports.open(name);
}

export function close() {
  byId("app").hidden = true;
}

export function update(app) {
  const body = byId("instances").tBodies[0];
  while (body.rows.length > app.instances.length) body.deleteRow(-1);
  app.instances.forEach((each, index) => {
    setCells(body.rows[index] ?? body.insertRow(), [
      { text: shown(each.id) },
      number(each.generation),
      { text: shown(each.phase), kind: each.phase === "ready" ? "good" : "warn" },
      number(each.pid),
      number(duration(since(each.started_at))),
      number(each.connections),
      number(each.busy),
      number(each.restarts),
      number(`${each.cpu_percent ?? 0} %`),
      number(size(each.memory_bytes)),
      { text: shown(each.status_text) },
    ]);
  });
  under_way(app.operation);
  const now = JSON.stringify(app.last);
  if (last && now !== last) reports.refresh();
  last = now;
}

function under_way(operation) {
  byId("release").hidden = !operation;
  if (!operation) return;
  const words = `${operation.action}, generation ${fromTo(operation.generation)}`;
  setText(byId("release-title"), `Under way: ${words}`);
  byId("release-picture").replaceChildren(picture(operation, words));
  const step = operation.marks.at(-1);
  setText(byId("release-step"), step ? [step.step, step.detail].filter(Boolean).join(": ") : "");
}

function number(text) {
  return { text: shown(text), kind: "number" };
}

export function log(added) {
  lines.push(...added);
  lines.splice(0, lines.length - MOST_LINES);
  show();
}

function show() {
  const wanted = byId("log-filter").value.toLowerCase();
  const kept = wanted ? lines.filter((line) => line.toLowerCase().includes(wanted)) : lines;
  const place = byId("log");
  place.textContent = kept.join("\n");
  if (byId("log-follow").checked) place.scrollTop = place.scrollHeight;
}

byId("log-filter").addEventListener("input", show);
