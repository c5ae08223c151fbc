// The fleets of the configuration: the rollout under way, its hosts, and the history.

import { byId, element, table } from "./dom.js";
import { time } from "./quantities.js";

const EVERY_MS = 10000;
let timer = 0;
let before = "";
let isReading = false;

export function start() {
  if (timer) return;
  byId("rollouts").hidden = false;
  timer = setInterval(read, EVERY_MS);
  read();
}

async function read() {
  // A coordinator that does not answer delays an answer by more than the time between two.
  if (document.hidden || isReading) return;
  isReading = true;
  const text = await fetch("/rollouts").then((answer) => (answer.ok ? answer.text() : null)).catch(() => null);
  isReading = false;
  if (text === null || text === before) return;
  before = text;
  byId("fleets").replaceChildren(...JSON.parse(text).fleets.map(fleet));
}

function fleet(found) {
  const made = element("div", {}, element("h3", {}, found.app));
  if (found.trouble) {
    made.append(element("p", { class: "trouble" }, found.trouble));
    return made;
  }
  const now = found.state ? `Rollout ${found.number} to ${found.release}: ${found.state}${found.reason ? `: ${found.reason}` : ""}` : "Nothing was rolled out yet.";
  made.append(element("p", {}, now));
  if (found.hosts.length) made.append(table("Hosts", ["Host", "Runs", "Phase", "Last report", "Reason"], found.hosts.map((each) => [each.host, each.release, each.phase, time(each.at), each.reason])));
  if (found.history.length) {
    made.append(table("History", ["Rollout", "Release", "Outcome", "Began", "Ended", "By", "Hosts", "Reason"],
      found.history.map((each) => [each.number, each.release, each.outcome, time(each.began_at), time(each.ended_at), each.by, each.changed, each.reason])));
  }
  return made;
}
