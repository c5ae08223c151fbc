// Connects the page to its events.  The app that is open is in the address: #app=NAME.

import * as actions from "./actions.js";
import * as apps from "./apps.js";
import * as details from "./details.js";
import { byId, setText } from "./dom.js";
import * as rollouts from "./rollouts.js";

const [AGAIN_MS, HIDDEN_MS] = [2000, 30000];
let source = null;
let chosen = "";
let hidden = 0;

function connect() {
  source?.close();
  source = new EventSource(`/events${chosen ? `?app=${encodeURIComponent(chosen)}` : ""}`);
  const heard = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  heard("hello", hello);
  heard("state", state);
  heard("apps", apps.update);
  heard("app", (app) => app.name === chosen && details.update(app));
  heard("log", details.log);
  heard("deeds", (changed) => {
    actions.update(changed);
    if (changed.some((each) => each.state !== "step")) rollouts.hurry();
  });
  source.onerror = lost;
}

function hello({ host, version, actions: allowed, rollouts: has }) {
  setText(byId("host"), host);
  document.title = `gapless on ${host}`;
  setText(byId("state"), `live, gapless ${version}${allowed.length ? "" : ", read-only"}`);
  if (byId("buttons").childElementCount !== allowed.length) actions.allow(allowed);
  if (has) rollouts.start(allowed.length > 0);
}

function state({ trouble, draining }) {
  const text = trouble || (draining ? "This host drains: new requests are refused." : "");
  byId("trouble").hidden = !text;
  setText(byId("trouble"), text);
}

/** The stream has ended: the browser comes again, or has to be let in again. */
async function lost() {
  setText(byId("state"), "not connected; what is shown is of before");
  if (source.readyState !== EventSource.CLOSED) return;
  const answer = await fetch("/reports").catch(() => null);
  if (answer?.status === 401) {
    state({ trouble: "This page was open for a day: open the link of `gapless web --link` again." });
    return;
  }
  setTimeout(connect, AGAIN_MS);
}

function read() {
  const name = new URLSearchParams(location.hash.slice(1)).get("app") ?? "";
  if (name === chosen && source) return;
  const before = chosen;
  chosen = name;
  apps.choose(name);
  actions.choose(name);
  if (name) details.open(name);
  else {
    details.close();
    if (before) apps.focus(before);
  }
  connect();
}

byId("close").addEventListener("click", () => {
  location.hash = "";
});
window.addEventListener("hashchange", read);
// Nobody looks at a page that is hidden: it asks nothing.
document.addEventListener("visibilitychange", () => {
  clearTimeout(hidden);
  if (document.hidden) {
    hidden = setTimeout(() => {
      source?.close();
      source = null;
      setText(byId("state"), "paused while the page is hidden");
    }, HIDDEN_MS);
  } else if (!source) connect();
});
read();
