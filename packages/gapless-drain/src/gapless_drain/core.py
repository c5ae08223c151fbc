"""The counts and the mode of one process, by the rules of spec/drain.md.  No I/O, no clock.

Counting takes no lock: an activity is added to its set before the mode is read, and is
removed once, however often it is finished.  So if a drain begins meanwhile, either it finds
the activity in the set, or `admit` and `begin` read the new mode.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

from gapless_drain.activity import Activity

MOST_NAMES = 20


class Mode(Enum):
    """What a process does with new requests."""

    SERVING = "serving"
    LEAVING = "leaving"  #: they are still served, but the health path says no
    HANDOFF = "handoff"  #: they are served on open connections, which are then closed
    RECYCLE = "recycle"  #: they are refused


DRAINING = (Mode.HANDOFF, Mode.RECYCLE)
UNHEALTHY = (Mode.LEAVING, Mode.RECYCLE)
"""The modes in which the health path says no."""
_ORDERS = {
    "undrain": Mode.SERVING,
    "drain leaving": Mode.LEAVING,
    "drain handoff": Mode.HANDOFF,
    "drain recycle": Mode.RECYCLE,
}


class Draining(Exception):  # noqa: N818 - it names a state, not an error
    """A procedure was refused: the process drains and begins nothing new."""


class Core:
    """The counts and the mode of one process."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        """*on_change* is called when counts change and the process does not serve."""
        self.mode = Mode.SERVING
        # What each request asks: reading a member of an Enum takes several times as long.
        self.serves, self.drains = True, False
        """Whether the mode is `SERVING`, and whether it is in `DRAINING`."""
        self._on_change = on_change
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget what is under way in the parent process; the mode stays."""
        self.requests: set[Activity] = set()
        self.procedures: set[Activity] = set()
        # Taken only while draining.  An RLock: a finalizer may run while it is held.
        self._totals_lock = threading.RLock()
        self._reset_totals()

    def _reset_totals(self) -> None:
        self.finished_requests = self.finished_procedures = self.refused = 0
        self.longest: tuple[float, Activity] | None = None
        """The finished activity that took longest, and its seconds."""
        self.longest_procedures: list[dict[str, Any]] = []
        """The finished procedures that took longest, in that order."""

    # --- requests and procedures ----------------------------------------------------

    def admit(self, name_source: Any, now: float) -> Activity:
        """Count a request; the app may serve it if it is `admitted`."""
        activity = Activity("request", name_source, now)
        self.requests.add(activity)
        if not self.serves:
            activity.admitted = self.mode is not Mode.RECYCLE
            self._on_change()
        return activity

    def begin(self, name_source: Any, now: float, parent: Activity | None) -> Activity:
        """Count a procedure.  Raises Draining if it may not begin."""
        activity = Activity("procedure", name_source, now, parent)
        self.procedures.add(activity)
        allowed = parent is not None and parent.admits_procedures
        if self.drains and not allowed:
            self.procedures.discard(activity)
            activity.is_open = False
            self._on_change()
            raise Draining(
                f"{activity.name}: this process drains and begins nothing new"
            )
        if not self.serves:
            self._on_change()
        return activity

    def finish(self, activity: Activity, now: float) -> None:
        """Count an activity as finished; a second call changes nothing."""
        if not activity.is_open:
            return
        under_way = self.requests if activity.kind == "request" else self.procedures
        # After a fork, activities of the parent process are in neither set.
        if self.serves or activity not in under_way:
            activity.is_open = False
        else:
            self._add_to_totals(activity, now)
        under_way.discard(activity)
        if not self.serves:
            self._on_change()

    def _add_to_totals(self, activity: Activity, now: float) -> None:
        with self._totals_lock:
            if not activity.is_open:  # another thread has finished it meanwhile
                return
            activity.is_open = False
            if not activity.admitted:
                self.refused += 1
                return
            took_s = now - activity.began_at
            if activity.kind == "request":
                self.finished_requests += 1
            else:
                self.finished_procedures += 1
                self._add_procedure(_describe(activity, took_s))
            if self.longest is None or took_s > self.longest[0]:
                self.longest = took_s, activity

    def _add_procedure(self, described: dict[str, Any]) -> None:
        # A new list each time: other threads read it meanwhile.
        found = [*self.longest_procedures, described]
        found.sort(key=lambda each: -each["for_s"])
        self.longest_procedures = found[:MOST_NAMES]

    def has_procedure_within(self, request: Activity) -> bool:
        """Return whether a procedure is under way that began within a request."""
        return any(each.root is request for each in _snapshot(self.procedures))

    # --- orders ---------------------------------------------------------------------

    def take_order(self, order: str) -> bool:
        """Do what an order says; return whether the counts are to be sent."""
        mode = _ORDERS.get(order)
        if mode is not None:
            self.enter(mode)
        return mode is not None or order == "counts"

    def enter(self, mode: Mode) -> None:
        """Change the mode; the totals begin at zero with each drain."""
        if mode is self.mode:
            return
        if mode is Mode.SERVING or self.mode is Mode.SERVING:
            self._reset_totals()
        # The mode first: who finds that the process does not serve reads how.
        self.mode = mode
        self.serves, self.drains = mode is Mode.SERVING, mode in DRAINING

    @property
    def is_drained(self) -> bool:
        """Whether the process drains and nothing is under way at this moment."""
        busy = self.requests or self.procedures
        return self.drains and not busy

    def counts(self, now: float) -> dict[str, Any]:
        """Return what the supervisor is sent (spec/drain.md)."""
        requests, procedures = _snapshot(self.requests), _snapshot(self.procedures)
        longest = self.longest
        # Procedures first: they must be named however many requests there are.
        oldest = [*_oldest_first(procedures), *_oldest_first(requests)][:MOST_NAMES]
        return {
            "mode": self.mode.value,
            "requests": len(requests),
            "refusing": sum(not each.admitted for each in requests),
            "procedures": len(procedures),
            "refused": self.refused,
            "finished": {
                "requests": self.finished_requests,
                "procedures": self.finished_procedures,
                "named": self.longest_procedures,
            },
            "running": [
                _describe(each, now - each.began_at) for each in _oldest_first(oldest)
            ],
            "longest": None if longest is None else _describe(longest[1], longest[0]),
        }


def _snapshot(activities: set[Activity]) -> list[Activity]:
    """Return the members of a set that other threads change meanwhile."""
    while True:
        try:
            return list(activities)
        except RuntimeError:  # "changed size during iteration": try again
            continue


def _oldest_first(activities: list[Activity]) -> list[Activity]:
    return sorted(activities, key=lambda each: each.began_at)


def _describe(activity: Activity, for_s: float) -> dict[str, Any]:
    for_s = round(max(for_s, 0), 3)
    return {"kind": activity.kind, "name": activity.name, "for_s": for_s}
