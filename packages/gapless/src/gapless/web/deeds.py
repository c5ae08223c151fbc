"""What a browser may ask to be done to an app or a fleet, and what becomes of it.  Pure."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gapless.base import names
from gapless.base.errors import MisuseError
from gapless.web.board import shown

APP_ACTIONS = ("start", "reload", "restart", "stop", "scale", "rollback")
ROLLOUT_ACTIONS = ("hold", "resume", "abort")
"""Of the rollout that the browser has seen, by its number; `rollback` may have one too."""
MOST_INSTANCES, MOST_ROLLOUTS = 1024, 10**15
MOST_BYTES = 4096
KEPT = 20
MOST_AT_ONCE = 8
_FIELDS = {"action", "app", "instances", "rollout", "release"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody asked for."""

    action: str
    app: str
    instances: int = 0
    """How many: of scale."""
    rollout: int = 0
    """The number of the rollout that is meant; 0: of an app, whichever it has."""
    release: str = ""
    """The release that served when a rollback was asked for; empty: whichever does."""


Perform = Callable[[Deed, Callable[[dict[str, Any]], None]], dict[str, Any]]
"""Does it, passes each step on, and returns the report.  Raises GaplessError."""


def read(body: bytes) -> Deed:
    """Return what a request asks for.  Raises MisuseError."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found.keys() <= _FIELDS:
        raise MisuseError("this is no request for an action")
    action, app = found.get("action"), found.get("app")
    if action not in (*APP_ACTIONS, *ROLLOUT_ACTIONS):
        raise MisuseError(f"there is no action {str(action)[:40]!a}")
    if not isinstance(app, str) or not names.is_app_name(app):
        raise MisuseError(f"{action}: {str(app)[:80]!a} is no name of an app")
    count, rollout = found.get("instances", 0), found.get("rollout", 0)
    if action == "scale":
        if not _is_number(count, MOST_INSTANCES):
            raise MisuseError(
                f"scale {app}: {str(count)[:40]!a} is no number of instances",
                hint=f"from 1 to {MOST_INSTANCES}",
            )
        return Deed(action=action, app=app, instances=count)
    is_of_rollout = action in ROLLOUT_ACTIONS or "rollout" in found
    has_one = action in (*ROLLOUT_ACTIONS, "rollback")
    if is_of_rollout and not (has_one and _is_number(rollout, MOST_ROLLOUTS)):
        raise MisuseError(
            f"{action} {app}: {str(rollout)[:40]!a} is no number of a rollout"
        )
    release = found.get("release", "")
    if release and (action != "rollback" or not _is_release(release)):
        raise MisuseError(f"{action} {app}: {str(release)[:80]!a} is no release")
    return Deed(action=action, app=app, rollout=rollout, release=release)


def _is_number(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_release(found: object) -> bool:
    try:
        return isinstance(found, str) and bool(names.ReleaseName(found))
    except ValueError:
        return False


@dataclass(slots=True)
class Deeds:
    """The last deeds, each with its newest state, for the browsers that look."""

    number: int = 0
    """Of the last change."""
    under_way: set[int] = field(default_factory=set)
    _begun: int = 0
    _rows: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def begin(self, deed: Deed) -> dict[str, Any]:
        """Return the row of a deed that begins."""
        self._begun += 1
        row = {"id": self._begun, "action": deed.action, "app": deed.app}
        self._rows.append(row)
        self.under_way.add(self._begun)
        self.change(row, "begun", "")
        return row

    def change(self, row: dict[str, Any], state: str, text: str) -> None:
        """Note what has become of a deed: begun, a step, done, failed, superseded."""
        self.number += 1
        row |= {"state": state, "text": shown(text[:2000]), "number": self.number}

    def end(self, row: dict[str, Any], state: str, text: str) -> None:
        """Note how it has ended."""
        self.under_way.discard(row["id"])
        self.change(row, state, text)

    def since(self, number: int) -> list[dict[str, Any]]:
        """Return the deeds that changed after *number*."""
        return [dict(row) for row in self._rows if row["number"] > number]
