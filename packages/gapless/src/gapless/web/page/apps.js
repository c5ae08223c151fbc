// The table of apps: rows stay where they are, so that the focus does.

import { byId, element, setCells, setText, shown } from "./dom.js";
import { duration, since, size } from "./quantities.js";

const rows = new Map();
const known = new Map();
let order = [];
let chosen = "";

const KINDS = { online: "good", "gave up": "bad", reloading: "warn", starting: "warn", draining: "warn", recycling: "warn" };

export function update({ rows: changed, order: names }) {
  for (const app of changed) known.set(app.name, app);
  if (names) {
    order = names;
    for (const name of [...known.keys()]) if (!names.includes(name)) forget(name);
  }
  for (const app of changed) if (known.has(app.name)) fill(app);
  place();
}

export function get(name) {
  return known.get(name);
}

/** The release that serves; empty if none does: what is stopped may have been rolled back since it ran. */
export function serving(name) {
  const { release, status } = known.get(name) ?? {};
  const runs = !["stopped", "stopping", "gave up"].includes(status);
  return runs && /-\d{14}$/.test(release) ? release : "";
}

export function choose(name) {
  chosen = name;
  for (const [each, row] of rows) row.classList.toggle("open", each === name);
}

/** Give the focus back to the app that was open. */
export function focus(name) {
  (rows.get(name)?.querySelector("a") ?? byId("apps-title")).focus();
}

function forget(name) {
  known.delete(name);
  rows.get(name)?.remove();
  rows.delete(name);
}

function fill(app) {
  let row = rows.get(app.name);
  if (!row) {
    const link = element("a", { href: `#app=${encodeURIComponent(app.name)}` }, app.name);
    row = element("tr", {}, element("th", { scope: "row" }, link, element("div", { class: "reason" })));
    row.classList.toggle("open", app.name === chosen);
    rows.set(app.name, row);
  }
  setText(row.querySelector(".reason"), app.reason ?? "");
  const { ready = 0, wanted = 0 } = app.instances ?? {};
  setCells(row, [
    null,
    { text: shown(app.status), kind: KINDS[app.status] ?? "" },
    { text: `${ready} of ${wanted}`, kind: ready < wanted && app.status === "online" ? "warn" : "" },
    { text: shown(app.release) },
    number(app.generation),
    { ...number(app.restarts), kind: app.restarts ? "number warn" : "number" },
    number(uptime(app)),
    number(app.requests),
    number(app.procedures),
    number(`${app.cpu_percent ?? 0} %`),
    number(size(app.memory_bytes)),
    { text: (app.addresses ?? []).join(", ") || "-" },
  ]);
}

function uptime(app) {
  return app.status === "stopped" || app.status === "gave up" ? "-" : duration(since(app.since));
}

function number(text) {
  return { text: shown(text), kind: "number" };
}

/** Put the rows in order, and hide those that the filter leaves out. */
function place() {
  const body = byId("apps").tBodies[0];
  const wanted = byId("filter").value.trim().toLowerCase();
  let [at, count] = [0, 0];
  for (const name of order) {
    const row = rows.get(name);
    if (!row) continue;
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
    at += 1;
    row.hidden = !matches(known.get(name), wanted);
    if (!row.hidden) count += 1;
  }
  byId("none").hidden = order.length > 0;
  byId("apps").hidden = order.length === 0;
  setText(byId("count"), wanted ? `${count} of ${order.length}` : `${order.length}`);
}

function matches(app, wanted) {
  return [app.name, app.status, app.namespace, app.release].some((each) => String(each ?? "").toLowerCase().includes(wanted));
}

byId("filter").addEventListener("input", place);
setInterval(() => {
  for (const [name, row] of rows) setText(row.cells[6], uptime(known.get(name)));
}, 5000);
