// What is asked for with the buttons: a question first, then one request.

import { byId, element, setText } from "./dom.js";
import * as apps from "./apps.js";

const WORDS = { start: "Start", reload: "Reload", restart: "Restart", stop: "Stop", scale: "Scale", rollback: "Roll back", hold: "Hold", resume: "Resume", abort: "Abort" };
const QUESTIONS = {
  start: (app) => `Start ${app}?`,
  reload: (app) => `Reload ${app}, with its file read again?`,
  restart: (app) => `Restart ${app}, as it is configured now?`,
  stop: (app) => `Stop ${app}? It finishes what it began, then nothing serves.`,
  scale: (app) => `How many instances of ${app}?`,
  rollback: (app, release) => `Roll ${app} back to the release before${release ? ` ${release}` : ""}?`,
};
const ROLLOUT_QUESTIONS = {
  hold: (of) => `Hold rollout ${of.number} of ${of.app} to ${of.release}? No further host changes.`,
  resume: (of) => `Resume rollout ${of.number} of ${of.app}? Hosts that failed try again.`,
  abort: (of) => `Abort rollout ${of.number} of ${of.app}? Hosts that have changed go back to ${of.previous}.`,
  rollback: (of) => `Roll the fleet of ${of.app} back to ${of.previous < of.release ? of.previous : `the release before ${of.release}`}? That is a rollout of its own.`,
};
const rows = new Map();
let chosen = "";

/** Show the buttons for what this page may do. */
export function allow(actions) {
  byId("buttons").replaceChildren(...actions.filter((each) => WORDS[each]).map((action) => {
    const button = element("button", { type: "button", "data-action": action }, WORDS[action]);
    button.addEventListener("click", () => ask(action));
    return button;
  }));
}

export function choose(app) {
  chosen = app;
}

/** A button for an action of a rollout. */
export function ofRollout(action, found) {
  const button = element("button", { type: "button", "data-key": `${action} ${found.app}` }, WORDS[action]);
  button.addEventListener("click", () => ask(action, found));
  return button;
}

async function ask(action, rollout = null) {
  const [app, dialog, number] = [rollout?.app ?? chosen, byId("question"), byId("question-number")];
  const release = apps.serving(app);
  setText(byId("question-text"), rollout ? ROLLOUT_QUESTIONS[action](rollout) : QUESTIONS[action](app, release));
  setText(byId("question-yes"), WORDS[action]);
  byId("question-count").hidden = action !== "scale";
  number.required = action === "scale";
  number.value = apps.get(app)?.instances?.wanted ?? 1;
  dialog.returnValue = "no";
  dialog.showModal();
  (action === "scale" ? number : byId("question-no")).focus();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "yes") return;
  const wanted = { action, app };
  if (action === "scale") wanted.instances = Number(number.value);
  if (rollout) wanted.rollout = rollout.number;
  else if (action === "rollback" && release) wanted.release = release;
  const answer = await fetch("/actions", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wanted) }).catch(() => null);
  if (answer?.ok) return;
  const found = (await answer?.json().catch(() => null)) ?? { error: "the page does not answer" };
  update([{ id: `refused ${Date.now()}`, action, app, state: "refused", text: [found.error, found.hint].filter(Boolean).join("; ") }]);
}

/** Show what has become of the actions: each is a line. */
export function update(deeds) {
  for (const deed of deeds) {
    let row = rows.get(deed.id);
    if (!row) {
      row = element("li");
      rows.set(deed.id, row);
      byId("deed-list").prepend(row);
    }
    setText(row, `${deed.action} ${deed.app}: ${deed.state === "step" ? "" : `${deed.state} `}${deed.text}`);
    row.className = { done: "good", failed: "bad", refused: "bad", superseded: "warn" }[deed.state] ?? "";
    byId("deeds").hidden = false;
  }
  while (byId("deed-list").children.length > 20) byId("deed-list").lastChild.remove();
}

export function forget() {
  rows.clear();
  byId("deed-list").replaceChildren();
}
