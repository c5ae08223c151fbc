"""What is outside of the supervisor, as plain data: keeper, programs, kernel, disk, client.

A world is JSON: it can be copied, compared and counted.  Its time is always `NOW`: after
each transition every time in it is moved back, so that worlds that differ only in when
they came about are the same.
"""

from __future__ import annotations

import json
import re
from typing import Any

World = dict[str, Any]
NOW = 1000.0
OLDEST_S = 5.0
"""All ages beyond it are the same: no limit in the model is longer."""
APP, GROUP = "app", "127.0.0.1:80"
_TIMES = {
    "since",
    "started",
    "ready_at",
    "detached_at",
    "stop_sent_at",
    "mode_since",
    "exited_at",
    "probe_ended_at",
    "permit_asked_at",
    "last_request_at",
    "asked_at",
    "at",
}
_SPEC = "the spec of the app"
_KEPT = {
    "children", "held", "sockets", "steered", "notes", "inbox", "outbox", "disk",
    "client", "failed", "crashes", "deaths", "supervisor", "second",
    "key", "call", "socket", "signal", "code", "value", "meta", "app", "waiter",
    "detached_code",
    "number", "ordinal", "listening", "running", "leader_alive", "process_count", "version",
    "token", "outcome", "detail", "at_s", "generations", "instances",
}  # fmt: skip
"""What stays in a world though it is false; the records have defaults for the rest."""
_SECONDS = re.compile(r"\d+\.\d+ s")


class Death(BaseException):
    """The supervisor is killed right here."""


class Effects:
    """Counts the side effects of one turn, and kills the supervisor after one of them."""

    def __init__(self, world: World, last: int | None = None) -> None:
        self.world, self._last = world, last
        self.count = 0

    def done(self) -> None:
        """Count one that was just done.  Raises Death."""
        self.count += 1
        if self.count == self._last:
            raise Death


def empty(*, crashes: int, deaths: int) -> World:
    """Return a world without an app; how many programs and supervisors may die in it."""
    return {
        "children": {},
        "held": {},
        "sockets": {},
        "steered": None,
        "notes": {},
        "inbox": [],
        "outbox": [],
        "disk": None,
        "client": "asks",
        "failed": [],
        "crashes": crashes,
        "deaths": deaths,
        "supervisor": None,
    }


# --- the keeper ---------------------------------------------------------------------------


def take(world: World) -> None:
    """Let the keeper take in what was sent, up to the next program that it is to start."""
    inbox = world["inbox"]
    while inbox and inbox[0]["op"] != "spawn":
        _take(world, inbox.pop(0))


def _take(world: World, message: dict[str, Any]) -> None:
    children = world["children"]
    match message["op"]:
        case "hold":
            world["held"][message["name"]] = message["meta"] or {}
        case "release":
            world["held"].pop(message["name"], None)
            world["outbox"].append({"event": "released", "name": message["name"]})
        case "note" if message["value"] is None:
            world["notes"].pop(message["name"], None)
        case "note":
            world["notes"][message["name"]] = message["value"]
        case "answer":
            _answer(world, message)
        case "forget":
            child = children.get(message["key"])
            if child is not None and child["state"] != "alive":
                del children[message["key"]]
        case other:
            raise ValueError(other)


def _answer(world: World, message: dict[str, Any]) -> None:
    child = world["children"].get(message["key"])
    if child is None or child["state"] != "alive" or child["call"] is None:
        return
    call, child["call"] = child["call"], None
    if message["action"] == "inject":
        child["socket"] = message["held"]
    if message["action"] in ("done", "inject"):
        child["stage"] = "bound" if call == "bind" else "listens"
    else:
        end(world, message["key"], 1)


def start(world: World, *, refused: bool = False) -> None:
    """Let the keeper start the program that is next."""
    key = world["inbox"].pop(0)["key"]
    world["children"][key] = {
        "state": "refused" if refused else "alive",
        "stage": "begun",
        "call": None,
        "socket": None,
        "signal": 0,
        "started": NOW,
    }
    world["outbox"] += announced(world, key)
    take(world)


def announced(world: World, key: str) -> list[dict[str, Any]]:
    """Return what the keeper says of a child."""
    child = world["children"][key]
    if child["state"] == "refused":
        return [{"event": "refused", "key": key, "reason": "no such program"}]
    said = [
        {
            "event": "spawned",
            "key": key,
            "meta": None,
            "pid": pid_of(key),
            "started": child["started"],
        }
    ]
    if child["state"] == "ended":
        status = child["code"] << 8
        said.append({"event": "ended", "key": key, "status": status, "at": child["at"]})
    return said


def pid_of(key: str) -> int:
    """Return the pid of an instance: another one for each key."""
    _, generation, _, serial = key.split("/")
    return 100 * int(generation) + int(serial)


def calls(world: World) -> list[dict[str, Any]]:
    """Return the system calls that wait, as the keeper reports them."""
    return [
        {
            "event": child["call"],
            "key": key,
            "id": 1,
            "host": "127.0.0.1",
            "port": 80,
            "may_bind": True,
        }
        for key, child in world["children"].items()
        if child["call"] is not None
    ]


# --- programs -----------------------------------------------------------------------------


def call(world: World, key: str) -> None:
    """Let a program bind, or listen."""
    child = world["children"][key]
    child["call"] = "bind" if child["stage"] == "begun" else "listen"
    found = [each for each in calls(world) if each["key"] == key]
    world["outbox"] += found


def end(world: World, key: str, code: int) -> None:
    """Let a program end, by itself or by a signal."""
    child = world["children"][key]
    child |= {"state": "ended", "call": None, "socket": None, "code": code, "at": NOW}
    world["outbox"] += announced(world, key)[1:]


# --- worlds are compared ------------------------------------------------------------------


def frozen(world: World, now: float = NOW) -> str:
    """Return a world as text, its time moved from *now* to `NOW`."""
    return json.dumps(_moved(world, now), sort_keys=True)


def _moved(plain: Any, now: float, name: str = "") -> Any:
    kind = type(plain)
    if kind is dict:
        if name == "spec":
            return _SPEC  # all have the same
        if name == "last_report":
            plain = {key: plain[key] for key in ("token", "outcome")}
        return {
            key: _moved(each, now, key)
            for key, each in plain.items()
            if each or key in _KEPT or each == {}
        }
    if kind is list:
        if name == "steps":
            names = sorted({step["step"] for step in plain})
            return [{"step": each, "at_s": 0, "detail": ""} for each in names]
        return [_moved(each, now) for each in plain]
    if name in _TIMES and kind in (int, float):
        return NOW - min(round(now - plain, 3), OLDEST_S)
    if kind is str and " s" in plain:
        return _SECONDS.sub("some s", plain)
    return plain


def thawed(text: str, spec: Any = None) -> World:
    """Return a copy of a world, with its app's *spec* if that is needed."""

    def put_back(plain: dict[str, Any]) -> dict[str, Any]:
        if "spec" in plain:
            plain["spec"] = spec
        return plain

    world: World = json.loads(text, object_hook=put_back if spec else None)
    return world
