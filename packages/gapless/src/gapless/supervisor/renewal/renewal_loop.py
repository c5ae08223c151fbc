"""When renewals for changed files are a loop, in which an app is its own reason.  Pure.

An app that writes a file whenever it starts, ends or answers changes it while it is being
renewed.  Somebody who saves a file twice does that once, or twice, in a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

GRACE_S = 1.0
"""A change so soon after the end of a renewal counts as one that came meanwhile."""
REST_S = 20.0
AT_ONCE = 2
"""So many renewals may follow each other at once; the next one comes after a rest."""
MOST_IN_A_ROW = 3
MOST_LATELY, LATELY_S = 30, 600.0


class Verdict(Enum):
    """What follows from a change."""

    RENEW = "renew"
    REST = "rest"  #: renew, but not before `rests_until`
    STOP = "stop"


@dataclass(slots=True)
class RenewalLoop:
    """The renewals of one app for changed files."""

    ended_at: float | None = None
    """When the last one ended; None: none did, or one is under way."""
    in_a_row: int = 0
    """How many followed each other, the first one counted."""
    began: list[float] = field(default_factory=list)
    paths: dict[str, None] = field(default_factory=dict)
    """What was the reason of those in a row."""

    def judge(self, changed_at: float, now: float) -> Verdict:
        """Return what follows from a change that came first at a moment."""
        lately = [at for at in self.began if now - at < LATELY_S]
        if len(lately) >= MOST_LATELY:
            return Verdict.STOP
        if not self._follows(changed_at) or self.in_a_row < AT_ONCE:
            return Verdict.RENEW
        if self.in_a_row >= MOST_IN_A_ROW:
            return Verdict.STOP
        return Verdict.REST if now < self.rests_until else Verdict.RENEW

    @property
    def rests_until(self) -> float:
        """When the next renewal in a row may begin."""
        return (self.ended_at or 0.0) + REST_S

    def begin(self, paths: list[str], changed_at: float, now: float) -> None:
        """Note that a renewal begins, and its reasons."""
        if not self._follows(changed_at):
            self.in_a_row = 0
            self.paths.clear()
        self.in_a_row += 1
        self.paths |= dict.fromkeys(paths)
        self.began = [at for at in self.began if now - at < LATELY_S] + [now]
        self.ended_at = None

    def end(self, now: float) -> None:
        """Note that the renewal has ended."""
        self.ended_at = now

    def _follows(self, changed_at: float) -> bool:
        """Return whether a change came while the last renewal was under way."""
        return self.ended_at is not None and changed_at <= self.ended_at + GRACE_S
