"""What somebody asked for, how far it has come, and the report in which it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gapless.supervisor import spec
from gapless.supervisor.counts import Counts

Waiter = Callable[[dict[str, Any], bool], None]
"""Is told each event, and whether it is the last message."""


@dataclass(slots=True)
class Operation:
    """A start, reload, restart, scale or stop under way."""

    app: str
    action: str
    asked_at: float
    """On the monotonic clock; steps are told relative to it."""
    started_at: str
    spec: spec.AppSpec
    token: str = ""
    """By it a face that lost its supervisor finds its operation again."""
    old_generation: int | None = None
    old_release: str = ""
    generation: int | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    cut: list[dict[str, Any]] = field(default_factory=list)
    connections_seen: int = 0
    connections_cut: int = 0
    calls_seen: int = 0
    calls_cut: int = 0
    counts: Counts | None = None
    """What the old instances counted while they drained; None if they do not."""
    recycle: bool = False
    permit: bool = False
    """Whoever asked for it is asked again, right before the switch."""
    failure: str = ""
    superseded: bool = False
    log_tail: list[str] = field(default_factory=list)
    log_marks: dict[str, int] = field(default_factory=dict)
    """The logs of its generation, and how long they were when it began."""
    waiters: list[Waiter] = field(default_factory=list)

    def step(self, name: str, now: float, detail: str = "") -> None:
        """Note a step, and tell those who wait."""
        at_s = round(now - self.asked_at, 4)
        self.steps.append({"step": name, "at_s": at_s, "detail": detail})
        event = {
            "event": "step",
            "app": self.app,
            "generation": self.generation,
            **self.steps[-1],
        }
        for waiter in self.waiters:
            waiter(event, False)

    def took(self, name: str) -> bool:
        """Tell whether a step was taken."""
        return any(step["step"] == name for step in self.steps)

    def add(self, counts: Counts | None) -> None:
        """Add what a generation counted while it drained."""
        if counts is not None:
            self.counts = (self.counts or Counts()).plus(counts)

    def end(self) -> dict[str, Any]:
        """Tell those who wait how it ended, and return the report."""
        report = self.report()
        for waiter in self.waiters:
            waiter({"result": report}, True)
        self.waiters.clear()
        return report

    def report(self) -> dict[str, Any]:
        """Return what happened, as data."""
        outcome = "failed" if self.failure else "done"
        stops = self.action == "stop"
        return {
            "app": self.app,
            "token": self.token,
            "action": self.action,
            "outcome": "superseded" if self.superseded else outcome,
            "reason": self.failure or None,
            "generation": {
                "old": self.old_generation,
                "new": None if stops else self.generation,
            },
            "release": {
                "old": self.old_release or None,
                "new": None if stops else self.spec.release or None,
            },
            "instances": 0 if stops else self.spec.instances,
            "started_at": self.started_at,
            "steps": self.steps,
            "connections": {
                "seen": self.connections_seen,
                "finished": self.connections_seen - self.connections_cut,
                "cut": self.connections_cut,
            },
            "outgoing": self._outgoing(),
            **_counted(self.counts),
            "cut": self.cut,
            "log_tail": self.log_tail,
        }

    def _outgoing(self) -> dict[str, int] | None:
        """Return what the kernel told of calls to others; None if it is not asked."""
        if not (self.spec.outgoing or self.calls_seen):
            return None
        seen = max(self.calls_seen, self.calls_cut)
        return {
            "seen": seen,
            "finished": seen - self.calls_cut,
            "cut": self.calls_cut,
        }

    def note(self) -> dict[str, Any]:
        """Return it as JSON-able data; those who wait are gone with the supervisor."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {
            "spec": spec.to_wire(self.spec),
            "waiters": [],
            "counts": self.counts.to_wire() if self.counts else None,
        }

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Operation:
        """Return the operation that `note` wrote."""
        counts = Counts.from_wire(plain["counts"]) if plain["counts"] else None
        return cls(**{**plain, "spec": spec.from_wire(plain["spec"]), "counts": counts})


def _counted(counts: Counts | None) -> dict[str, Any]:
    """Return what a report says of requests and procedures; null if nobody counted."""
    if counts is None:
        return {"requests": None, "procedures": None, "longest": None}
    return {
        "requests": {
            "finished": counts.finished_requests,
            "refused": counts.refused,
            "cut": counts.cut_requests,
        },
        "procedures": {
            "finished": counts.finished_procedures,
            "cut": counts.cut_procedures,
            "finished_named": _named(counts.finished),
            "cut_named": _named(counts.cut),
        },
        "longest": counts.longest,
    }


def _named(under_way: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Return the names and durations of the procedures among them."""
    return [
        {"name": each["name"], "for_s": round(each["for_s"], 3)}
        for each in under_way
        if each["kind"] == "procedure"
    ]
