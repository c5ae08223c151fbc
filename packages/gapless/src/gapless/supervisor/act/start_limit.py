"""How many instances of a host start at the same time.

A start takes the processor.  If a hundred began at once, each would take a hundred times as
long, and those that are well would miss their `ready.timeout_s`.
"""

from __future__ import annotations

import os

from gapless.supervisor.decide.actions import Plan, Start
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.model import Phase

STARTS_PER_PROCESSOR = 8
HOLD_S = 1.0
"""A start that takes longer waits for something else, and others may begin beside it."""


class StartLimit:
    """Which instances start now, and which apps wait until they may start more."""

    def __init__(self, most: int = 0) -> None:
        """Let *most* instances start at once; 0: as many as suit this machine."""
        self._most = most or STARTS_PER_PROCESSOR * len(os.sched_getaffinity(0))
        self._begun: dict[str, list[float]] = {}
        """By app: when those of its instances that are not ready yet were started."""
        self._waiting: dict[str, None] = {}
        """The app that has waited longest for a start first."""

    def free(self, now: float) -> int:
        """Return how many instances may start now."""
        return max(0, self._most - len(self._holding(now)))

    def update(self, app: AppRecord, planned: Plan) -> None:
        """Take in what an app starts now, and whether it would start more.

        One that has started some of what it would is the last to start more: no app, how
        often it ends, keeps others from their turn.
        """
        begun = [
            instance.started
            for generation in app.generations
            for instance in generation.instances
            if instance.phase is Phase.STARTING and instance.leader_alive
        ]
        if begun:
            self._begun[app.name] = begun
        else:
            self._begun.pop(app.name, None)
        if not planned.starts_held or any(
            isinstance(action, Start) for action in planned.actions
        ):
            self._waiting.pop(app.name, None)
        if planned.starts_held:
            self._waiting.setdefault(app.name)

    def forget(self, name: str) -> None:
        """Forget an app."""
        self._begun.pop(name, None)
        self._waiting.pop(name, None)

    def whose_turn(self, now: float) -> list[str]:
        """Return the apps that have waited, and may start more now."""
        return list(self._waiting)[: self.free(now)] if self._waiting else []

    def wait_until(self, now: float) -> float | None:
        """Return when an app that waits may start more, if nothing happens before."""
        if not self._waiting:
            return None
        return min(self._holding(now), default=now - HOLD_S) + HOLD_S

    def _holding(self, now: float) -> list[float]:
        """Return when the starts began that no other may begin beside."""
        return [
            at for begun in self._begun.values() for at in begun if at > now - HOLD_S
        ]
