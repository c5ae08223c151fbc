// The reports of the app that is open, and one of them as a picture.

import { byId, element, shown, table } from "./dom.js";
import { connections, counted, picture } from "./picture.js";
import { fromTo, time } from "./quantities.js";

let app = "";

export function open(name) {
  app = name;
  byId("reports").tBodies[0].replaceChildren();
  hide();
  refresh();
}

export async function refresh() {
  const answer = await fetch(`/reports?app=${encodeURIComponent(app)}`).catch(() => null);
  if (!answer?.ok) return;
  const found = await answer.json();
  if (found.app !== app) return;
  const body = byId("reports").tBodies[0];
  const hadFocus = body.contains(document.activeElement) ? document.activeElement.dataset.name : "";
  body.replaceChildren(...found.reports.map(row));
  for (const button of body.querySelectorAll("button")) if (hadFocus && button.dataset.name === hadFocus) button.focus();
}

function row(report) {
  const button = element("button", { class: "plain", type: "button", "data-name": report.name }, time(report.started_at));
  button.addEventListener("click", () => show(report.name));
  const made = element("tr", {}, element("th", { scope: "row" }, button));
  const cells = [
    { text: shown(report.action) },
    { text: shown(report.outcome), kind: report.outcome === "done" ? "good" : "bad" },
    { text: fromTo(report.generation) },
    { text: fromTo(report.release) },
    { text: shown(report.cut), kind: report.cut ? "number bad" : "number" },
    { text: shown(report.reason) },
  ];
  cells.forEach(({ text, kind }) => made.append(element("td", { class: kind }, text)));
  return made;
}

async function show(name) {
  const asked = app;
  const answer = await fetch(`/report?app=${encodeURIComponent(app)}&name=${encodeURIComponent(name)}`).catch(() => null);
  if (!answer?.ok || asked !== app) return;
  const report = await answer.json();
  const title = `${report.action} ${report.outcome}: generation ${fromTo(report.generation)}, ${time(report.started_at)}`;
  const heading = element("h4", { tabindex: -1 }, title);
  const button = element("button", { type: "button" }, "Close the report");
  button.addEventListener("click", () => {
    hide();
    [...byId("reports").querySelectorAll("button")].find((each) => each.dataset.name === name)?.focus();
  });
  const parts = [heading, picture(report.picture, title)];
  if (report.reason) parts.push(element("p", { class: "bad" }, `Reason: ${report.reason}`));
  if (report.hint) parts.push(element("p", {}, `Hint: ${report.hint}`));
  parts.push(element("p", {}, counted(report.connections)));
  if (report.connections?.seen) parts.push(connections(report.connections));
  if (report.requests) parts.push(element("p", {}, `Requests finished ${report.requests.finished}, refused ${report.requests.refused}, cut ${report.requests.cut}.`));
  if (report.procedures) parts.push(element("p", {}, `Procedures finished ${report.procedures.finished}, cut ${report.procedures.cut}.`));
  const cut = Array.isArray(report.cut) ? report.cut : [];
  if (cut.length) parts.push(table("What was cut", ["Pid", "What", "Why"], cut.map((each) => [each.pid, inWords(each), each.reason])));
  parts.push(table("Steps", ["After", "Step", "Detail"], report.picture.marks.map((each) => [`${each.at_s.toFixed(2)} s`, each.step, each.detail])));
  if (report.log_tail?.length) parts.push(element("h4", {}, "The last lines of its log"), element("pre", { tabindex: 0 }, report.log_tail.join("\n")));
  byId("report").replaceChildren(...parts, element("p", {}, button));
  byId("report").hidden = false;
  heading.focus();
}

function inWords(cut) {
  const kinds = { connections: "connection", requests: "request", procedures: "procedure", outgoing: "call" };
  const words = Object.entries(kinds).filter(([key]) => cut[key]).map(([key, word]) => `${cut[key]} ${word}${cut[key] === 1 ? "" : "s"}`);
  const names = (cut.names ?? []).map((each) => `${each.name} after ${Number(each.for_s).toFixed(1)} s`);
  return [...words, ...names].join(", ");
}

function hide() {
  byId("report").hidden = true;
  byId("report").replaceChildren();
}
