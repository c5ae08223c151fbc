// The fleets of the configuration: the rollout under way, its hosts, and the history.

import { ofRollout } from "./actions.js";
import { byId, element, table } from "./dom.js";
import { time } from "./quantities.js";

const EVERY_MS = 10000;
let timer = 0;
let before = "";
let reading = null;
let mayAct = false;

export function start(allowed) {
  mayAct = allowed;
  if (timer) return;
  byId("rollouts").hidden = false;
  timer = setInterval(read, EVERY_MS);
  read();
}

/** Read again when a rollout was changed: also if a reading is under way, which began before. */
export async function hurry() {
  if (!timer) return;
  await reading;
  read();
}

function read() {
  // A coordinator that does not answer delays an answer by more than the time between two.
  if (document.hidden || reading) return;
  reading = found().finally(() => {
    reading = null;
  });
}

async function found() {
  const text = await fetch("/rollouts").then((answer) => (answer.ok ? answer.text() : null)).catch(() => null);
  // While a question is open, what it was asked of stays; it is shown at the next reading.
  if (text === null || text === before || byId("question").open) return;
  before = text;
  show(JSON.parse(text).fleets);
}

/** Show all of it anew, and leave the focus where it was. */
function show(fleets) {
  const place = byId("fleets");
  const focused = place.contains(document.activeElement) ? key(document.activeElement) : "";
  place.replaceChildren(...fleets.map(fleet));
  if (!focused) return;
  const same = [...place.querySelectorAll("[data-key], [tabindex]")].find((each) => key(each) === focused);
  (same ?? byId("rollouts-title")).focus();
}

function key(of) {
  return of.dataset.key ?? of.getAttribute("aria-label");
}

function fleet(found) {
  const made = element("div", {}, element("h3", {}, found.app));
  if (found.trouble) {
    made.append(element("p", { class: "trouble" }, found.trouble));
    return made;
  }
  const now = found.state ? `Rollout ${found.number} to ${found.release}: ${found.state}${found.reason ? `: ${found.reason}` : ""}` : "Nothing was rolled out yet.";
  made.append(element("p", {}, now));
  if (mayAct && found.may?.length) made.append(element("p", { class: "buttons" }, ...found.may.map((action) => ofRollout(action, found))));
  if (found.hosts.length) made.append(table(`Hosts of ${found.app}`, ["Host", "Runs", "Phase", "Last report", "Reason"], found.hosts.map((each) => [each.host, each.release, each.phase, time(each.at), each.reason])));
  if (found.history.length) {
    made.append(table(`History of ${found.app}`, ["Rollout", "Release", "Outcome", "Began", "Ended", "By", "Hosts", "Reason"],
      found.history.map((each) => [each.number, each.release, each.outcome, time(each.began_at), time(each.ended_at), each.by, each.changed, each.reason])));
  }
  return made;
}
