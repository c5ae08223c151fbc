"""An operation under way: what was asked for, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gapless.base.codec import TRANSIENT
from gapless.base.outside import secrets
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.generations import GenerationRecord

Waiter = Callable[[dict[str, Any], bool], None]
"""Is called with each message, and whether it is the last."""


@dataclass(slots=True)
class Operation:
    """A start, reload, restart, scale or stop under way."""

    app: str
    action: str
    asked_at: float
    """On the monotonic clock; the times of steps are relative to it."""
    started_at: str
    spec: spec.AppSpec
    token: str = ""
    """By it a client whose supervisor died finds its operation again."""
    old_generation: int | None = None
    old_release: str = ""
    generation: int | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    cut: list[dict[str, Any]] = field(default_factory=list)
    unseen: bool = False
    """The connections of a generation that ended could not be seen."""
    connections_seen: int = 0
    connections_cut: int = 0
    connections_unknown: int = 0
    connections_taken: int = 0
    connections_given_back: int = 0
    takeover_trouble: str = ""
    """Why connections could not be taken."""
    calls_seen: int = 0
    calls_cut: int = 0
    counts: Counts | None = None
    """What the old instances counted while they drained; None if they do not count."""
    ids_before: list[int] = field(default_factory=list)
    """The ids of the app before it was scaled: it has them again if that fails."""
    keeps: bool = False
    """It takes the configuration that serves when it begins, `scale` but for the count."""
    seats_from: int = 0
    """The first seat by which it is judged; `scale` did not begin the earlier ones."""
    recycle: bool = False
    back: bool = False
    """It goes back to an earlier release: that waits for no generation that drains."""
    joined: list[str] = field(default_factory=list)
    """The tokens of clients that asked for the same while it was under way."""
    told_drains: bool = field(default=False, metadata=TRANSIENT)
    """Its client was told for which generation that drains it waits."""
    drops: tuple[str, ...] = ()
    """Addresses that this once may be left."""
    permit: bool = False
    """The client is asked for a permit right before the switch."""
    failure: str = ""
    hint: str = ""
    """What to do about the failure, if that is known."""
    superseded: bool = False
    log_tail: list[str] = field(default_factory=list)
    log_marks: dict[str, int] = field(default_factory=dict)
    """The logs of its generation, and how long they were when it began."""
    secret_values: frozenset[str] = field(default=frozenset(), metadata=TRANSIENT)
    """Of its variables and environment files: masked in what is told of it."""
    waiters: list[Waiter] = field(default_factory=list, metadata=TRANSIENT)

    @property
    def stops(self) -> bool:
        """Whether it is to end the app."""
        return self.action in ("stop", "delete")

    def step(self, name: str, now: float, detail: str = "") -> None:
        """Note a step, and report it to those who wait."""
        at_s = round(now - self.asked_at, 4)
        detail = secrets.in_text(detail, self.secret_values)
        self.steps.append({"step": name, "at_s": at_s, "detail": detail})
        for waiter in self.waiters:
            waiter(self._event(self.steps[-1]), False)

    def follow(self, waiter: Waiter) -> None:
        """Tell a client that comes back all steps again, and those to come.

        It may not have heard the last ones.  Of questions for a permit it gets the last.
        """
        self.waiters.append(waiter)
        questions = [step for step in self.steps if step["step"] == "permit"]
        for step in self.steps:
            if step["step"] != "permit" or step is questions[-1]:
                waiter(self._event(step), False)

    def _event(self, step: dict[str, Any]) -> dict[str, Any]:
        return {
            "event": "step",
            "app": self.app,
            "generation": self.generation,
            **step,
        }

    def took(self, name: str) -> bool:
        """Return whether a step was taken."""
        return any(step["step"] == name for step in self.steps)

    def add(self, generation: GenerationRecord) -> None:
        """Add what was seen and cut of a generation that has ended."""
        self.unseen |= generation.unseen
        self.connections_seen += generation.connections_seen
        self.connections_cut += generation.connections_cut + generation.takeover_cut
        self.connections_taken += generation.connections_taken
        self.connections_given_back += generation.connections_given_back
        self.connections_unknown += generation.connections_unknown
        self.takeover_trouble = self.takeover_trouble or generation.takeover_trouble
        self.calls_seen += generation.calls_seen
        self.calls_cut += generation.calls_cut
        if generation.counts is not None:
            self.counts = (self.counts or Counts()).plus(generation.counts)
