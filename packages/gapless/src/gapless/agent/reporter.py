"""What this host says of itself, written where the fleet reads it.

What is under way is written down before it is done, so a restarted agent goes on where it
was.  Two threads write: the one that follows, and the one that holds a slot and says that
its host is still there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable

from gapless.base import clock
from gapless.base.errors import ConflictError, UnavailableError
from gapless.rollout.board import Board
from gapless.rollout.model import HostReport, Phase, Rollout

Say = Callable[[str], None]


class Reporter:
    """One host's report about one app.  Methods raise UnavailableError."""

    def __init__(self, board: Board, host: str, say: Say) -> None:
        self._board, self._say = board, say
        self._report = HostReport(host=host)
        self._version: int | None = None
        self._written_at: float | None = None
        self._lock = threading.Lock()

    @property
    def report(self) -> HostReport:
        """What this host says now, written or not."""
        return self._report

    def recall(self) -> None:
        """Read what this host said before it was restarted, once."""
        with self._lock:
            if self._version is None:
                self._report, self._version = self._board.own(self._report.host)

    def runs(self, release: str) -> None:
        """Note what serves here; it is written with the next word."""
        with self._lock:
            if release != self._report.release:
                self._report = dataclasses.replace(self._report, release=release)
                self._written_at = None

    def become(self, report: HostReport) -> None:
        """Take over what was seen of this host; it is written with the next word."""
        with self._lock:
            if report != self._report:
                self._report = report
                self._written_at = None

    def tell(self, rollout: Rollout, phase: Phase, reason: str = "") -> None:
        """Write what this host does now about a rollout, before it does it."""
        why = f": {reason}" if reason else ""
        self._say(f"{rollout.app}: {phase.value} ({rollout.target or 'nothing'}){why}")
        with self._lock:
            self._report = dataclasses.replace(
                self._report, turn=rollout.turn, phase=phase, reason=reason
            )
            self._write()

    def note(self, rollout: Rollout, phase: Phase, reason: str = "") -> None:
        """As `tell`, but what cannot be written now is written with a later word."""
        with contextlib.suppress(UnavailableError):
            self.tell(rollout, phase, reason)

    def is_written(self) -> bool:
        """Write what is not written yet; tell whether all is."""
        with self._lock:
            try:
                if self._written_at is None:
                    self._write()
            except UnavailableError:
                return False
            return True

    def be(self, phase: Phase, reason: str, every_s: float) -> None:
        """Say what this host is; unless that is new, not more often than *every_s*."""
        with self._lock:
            before = (self._report.phase, self._report.reason)
            if before != (phase, reason):
                self._report = dataclasses.replace(
                    self._report, phase=phase, reason=reason
                )
                self._written_at = None
            self._write_if_due(every_s)

    def beat(self, every_s: float) -> None:
        """Say that this host is there, from any thread; not while another one writes."""
        if self._lock.acquire(blocking=False):
            try:
                self._write_if_due(every_s)
            finally:
                self._lock.release()

    def _write_if_due(self, every_s: float) -> None:
        at = self._written_at
        # Who looks once in that time may look a little early.
        if at is None or clock.boottime() >= at + 0.9 * every_s:
            self._write()

    def _write(self) -> None:
        if self._version is None:  # `recall` comes first
            raise ConflictError(
                f"{self._board.app}: another agent calls itself {self._report.host}"
            )
        self._written_at = None  # until it is there
        report = dataclasses.replace(
            self._report, beat=self._report.beat + 1, at=clock.stamp(clock.wall())
        )
        try:
            self._version = self._board.report(report, self._version)
        except ConflictError:
            self._version = None  # whatever is there is read before the next word
            raise
        self._report, self._written_at = report, clock.boottime()
