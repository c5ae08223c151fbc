"""From the log of gapless to events: what of it people are told, and what is no news.

Each function takes what is remembered, changes that, and returns events.  None of them
looks at a clock or a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gapless.notify.memory import MOST_APPS, Memory
from gapless.notify.model import Event, Kind, Target

Line = Mapping[str, Any]
"""One line of the log, decoded."""
_ACTIONS = ("start", "reload", "restart", "scale")
"""Operations that begin a generation, or more instances."""
_CUT = ("connections", "requests", "procedures", "outgoing")
"""What is counted of a cut."""
LONGEST_REASON = 600


def events_of(line: Line, memory: Memory, target: Target, now: float) -> list[Event]:
    """Return what a line of the log tells; *now* is the time of the line, by the clock."""
    match line.get("event"):
        case "report":
            return _of_report(line, memory)
        case "cut" if line.get("reported") is False:
            return [_cut(line, _app_of(line), [dict(line)])]
        case "restarted":
            return _of_restart(line, memory, target, now)
        case "gave-up":
            return _of_end(line, memory)
        case "log-trouble":
            return _of_log(line, memory)
        case _:
            return []


def _of_report(line: Line, memory: Memory) -> list[Event]:
    app, action = _text(line, "app"), _text(line, "action")
    outcome = _text(line, "outcome")
    if outcome == "done":
        memory.gave_up.pop(app, None)
    found: list[Event] = []
    steps = [each for each in _list(line, "steps") if isinstance(each, dict)]
    names = {each.get("step") for each in steps}
    release = _pair(line, "release")
    what = f"{app}: {action} of {release[1]}" if release[1] else f"{app}: {action}"
    facts = {
        "action": action,
        "generation": line.get("generation"),
        "release": line.get("release"),
        "connections": line.get("connections"),
        "reason": line.get("reason"),
        "hint": line.get("hint"),
        "started_at": line.get("started_at"),
        "took_s": steps[-1].get("at_s") if steps else None,
    }
    if action in _ACTIONS and outcome == "failed":
        kind = Kind.REVERTED if "reverted" in names else Kind.FAILED
        old = _pair(line, "generation")[0]
        serves = f"; generation {old} serves on" if old else ""
        text = f"{what} {kind.value}: {_reason(line)}{serves}"
        found.append(_event(line, kind, app, text, facts))
    elif action in _ACTIONS and outcome == "done" and "renewing" not in names:
        new = _pair(line, "generation")[1]
        took = f" in {facts['took_s']:.1f} s" if _is_number(facts["took_s"]) else ""
        text = f"{what} done{took}, generation {new}"
        found.append(_event(line, Kind.DONE, app, text, facts))
    if cut := [each for each in _list(line, "cut") if isinstance(each, dict)]:
        found.append(_cut(line, app, cut))
    return found


def _cut(line: Line, app: str, parts: list[dict[str, Any]]) -> Event:
    sums = {kind: sum(_number(each, kind) for each in parts) for kind in _CUT}
    shown = ", ".join(f"{n} {_words(kind, n)}" for kind, n in sums.items() if n)
    reasons = list(dict.fromkeys(_reason(each) for each in parts))
    text = f"{app}: cut {shown or 'something'}: {'; '.join(reasons[:3])}"
    return _event(line, Kind.CUT, app, text, {"cut": sums, "reasons": reasons[:20]})


def _words(kind: str, number: int) -> str:
    if kind == "outgoing":
        return "call to a database" if number == 1 else "calls to databases"
    return kind.removesuffix("s") if number == 1 else kind


def _of_restart(line: Line, memory: Memory, target: Target, now: float) -> list[Event]:
    """Return an event for the first restart that is one too many; then wait as long."""
    app = _text(line, "app")
    if app not in memory.restarts and len(memory.restarts) >= MOST_APPS:
        memory.restarts.pop(next(iter(memory.restarts)))
    lately = [at for at in memory.restarts.get(app, ()) if now - at < target.within_s]
    lately = [*lately, now][-(target.restarts + 1) :]
    memory.restarts[app] = lately
    told_at = memory.restarts_told.get(app)
    waits = told_at is not None and now - told_at < target.within_s
    if len(lately) <= target.restarts or waits:
        return []
    memory.restarts_told = dict([*memory.restarts_told.items()][-MOST_APPS:])
    memory.restarts_told[app] = now
    text = (
        f"{app}: more than {target.restarts} instances were replaced in "
        f"{target.within_s:g} s, {line.get('restarts')} so far; the last one "
        f"{_reason(line)}"
    )
    facts = {"restarts": line.get("restarts"), "reason": line.get("reason")}
    return [_event(line, Kind.RESTARTS, app, text, facts)]


def _of_end(line: Line, memory: Memory) -> list[Event]:
    app, reason = _text(line, "app"), _reason(line)
    # Who gives up in another generation has been started meanwhile: after a boot, no report
    # says so.
    now = f"{line.get('generation')} {reason}"
    if memory.gave_up.get(app) == now:
        return []  # another supervisor says it again
    memory.gave_up = dict([*memory.gave_up.items()][-MOST_APPS:])
    memory.gave_up[app] = now
    facts = {"reason": line.get("reason")}
    return [_event(line, Kind.GAVE_UP, app, f"{app} gave up: {reason}", facts)]


def _of_log(line: Line, memory: Memory) -> list[Event]:
    said = line.get("message")
    said = said if isinstance(said, dict) else {}
    app, reason = _text(said, "app"), _reason(said)
    if not said.get("reason"):
        memory.log_trouble = [each for each in memory.log_trouble if each != app]
        return []
    if app in memory.log_trouble:
        return []
    memory.log_trouble = [*memory.log_trouble, app][-MOST_APPS:]
    text = f"{app}: its log takes nothing: {reason}; the app serves on, lines are lost"
    facts = {"reason": said.get("reason"), "lines_lost": said.get("lines_lost")}
    return [_event(line, Kind.DISK, app, text, facts)]


# --- what is no line of the log -----------------------------------------------------------


def of_disk(
    path: str, free_bytes: int, memory: Memory, target: Target, at: str
) -> list[Event]:
    """Return an event when a disk gets low; it is no news again before there is room."""
    least = target.disk_free_bytes
    if memory.is_disk_low and free_bytes > 2 * least:
        memory.is_disk_low = False
    if memory.is_disk_low or free_bytes >= least:
        return []
    memory.is_disk_low = True
    text = f"the disk of {path} has {free_bytes >> 20} MB left"
    facts = {"path": path, "free_bytes": free_bytes}
    identity = _digest("disk", path, at)
    return [
        Event(
            identity=identity, kind=Kind.DISK, app="", text=text, at=at, details=facts
        )
    ]


def identity_of(line: Line, kind: Kind) -> str:
    """Return what tells an event from others; a report that is written twice has one."""
    if line.get("event") == "report":
        own = [line.get(name) for name in ("app", "action", "token", "started_at")]
    else:
        # Two of one instance may have the same millisecond.
        names = ("event", "time", "app", "key", "pid", "restarts", *_CUT)
        own = [line.get(name) for name in names]
    return _digest(kind.value, *own)


def _digest(*parts: object) -> str:
    return hashlib.sha256(
        "\0".join(map(str, parts)).encode(errors="replace")
    ).hexdigest()[:20]


def _event(
    line: Line, kind: Kind, app: str, text: str, details: dict[str, Any]
) -> Event:
    return Event(
        identity=identity_of(line, kind),
        kind=kind,
        app=app,
        text=text,
        at=_text(line, "time"),
        details=details,
    )


def _app_of(line: Line) -> str:
    return _text(line, "app") or _text(line, "key").partition("/")[0]


def _reason(line: Line) -> str:
    text = _text(line, "reason") or "for no reason that is known"
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def _text(line: Line, name: str) -> str:
    found = line.get(name)
    return found if isinstance(found, str) else ""


def _list(line: Line, name: str) -> list[Any]:
    found = line.get(name)
    return found if isinstance(found, list) else []


def _pair(line: Line, name: str) -> tuple[Any, Any]:
    found = line.get(name)
    found = found if isinstance(found, dict) else {}
    return found.get("old"), found.get("new")


def _number(line: Line, name: str) -> int:
    found = line.get(name)
    return found if isinstance(found, int) else 0


def _is_number(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)
