"""Write the report of this host, which the fleet reads.

A phase is written before its work begins, so a restarted agent goes on where it was.  Two
threads write: the one that follows the rollout, and the one that holds a slot and writes
heartbeats.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable

from gapless.base import clock
from gapless.base.errors import ConflictError, GaplessError, UnavailableError
from gapless.coordinator.decoding import MOST_LEASE_S
from gapless.rollout.model import AT_WORK, HostReport, Phase, Rollout
from gapless.rollout.store import FleetStore

Say = Callable[[str], None]
InUse = Callable[[], tuple[str, ...]]
"""Returns the releases that generations of the app run from, by the supervisor."""


class Reporter:
    """The report of one host about one app.  Methods raise UnavailableError."""

    def __init__(
        self, store: FleetStore, host: str, say: Say, *, in_use: InUse
    ) -> None:
        """*in_use* is called before a write, but for heartbeats of who holds a slot."""
        self._store, self._say = store, say
        self._report = HostReport(host=host)
        self._version: int | None = None
        """The version of the record; None: it has to be read first."""
        self._written_at: float | None = None
        """When the report was written as it is now; None: it was not."""
        self._lock = threading.Lock()
        self._in_use = in_use

    @property
    def report(self) -> HostReport:
        """The report as it is now, written or not."""
        return self._report

    def load(self) -> None:
        """Read the report that this host wrote before a restart, once."""
        with self._lock:
            if self._version is None:
                self._report, self._version = self._store.hosts.own(self._report.host)

    def set_gone_s(self, gone_s: float) -> None:
        """Set after what silence this host is gone; it is written with the next write.

        Until then the one before holds for the others: that one, or a longer one.
        """
        gone_s = min(gone_s, MOST_LEASE_S)
        with self._lock:
            self._report = dataclasses.replace(self._report, gone_s=gone_s)

    def set_release(self, release: str) -> None:
        """Set the release that serves here; it is written with the next write."""
        with self._lock:
            if release != self._report.release:
                finished = "" if release else self._report.finished
                self._report = dataclasses.replace(
                    self._report, release=release, finished=finished
                )
                self._written_at = None

    def set_report(self, report: HostReport) -> None:
        """Replace the report; it is written with the next write."""
        with self._lock:
            if report != self._report:
                self._report = report
                self._written_at = None

    def set_phase(self, phase: Phase, reason: str, every_s: float) -> None:
        """Set a phase, and write it if it is new; if not, once in *every_s*."""
        is_new = (self._report.phase, self._report.reason) != (phase, reason)
        if is_new or self._is_due(every_s):
            self._note_in_use()
        with self._lock:
            if is_new:
                self._report = dataclasses.replace(
                    self._report, phase=phase, reason=reason
                )
                self._written_at = None
            self._write_if_due(every_s)

    def report_phase(self, rollout: Rollout, phase: Phase, reason: str = "") -> None:
        """Write the phase of this host in a rollout, before its work begins."""
        why = f": {reason}" if reason else ""
        self._say(f"{rollout.app}: {phase.value} ({rollout.target or 'nothing'}){why}")
        self._note_in_use(rollout.target if phase in AT_WORK else "")
        with self._lock:
            before = self._report
            has_run = rollout.release in (before.release, before.finished)
            self._report = dataclasses.replace(
                before,
                turn=rollout.turn,
                ran=rollout.number if has_run else before.ran,
                phase=phase,
                reason=reason,
            )
            self._write()

    def try_report_phase(
        self, rollout: Rollout, phase: Phase, reason: str = ""
    ) -> None:
        """As `report_phase`, but what cannot be written now is written later."""
        with contextlib.suppress(UnavailableError):
            self.report_phase(rollout, phase, reason)

    def flush(self) -> bool:
        """Write the report if it was not; return whether it is written now."""
        with self._lock:
            try:
                if self._written_at is None:
                    self._write()
            except UnavailableError:
                return False
            return True

    def heartbeat(self, every_s: float) -> None:
        """Write the report once in *every_s*, unless another thread writes now."""
        if self._lock.acquire(blocking=False):
            try:
                self._write_if_due(every_s)
            finally:
                self._lock.release()

    def _note_in_use(self, target: str = "") -> None:
        """Note which releases are in use; *target* will be, before the next write.

        Where the supervisor does not answer, those of before are still taken for used.
        """
        try:
            in_use = set(self._in_use())
        except (GaplessError, OSError):
            in_use = {*self._report.in_use, self._report.release}
        names = tuple(sorted(name for name in in_use | {target} if name))
        with self._lock:
            self._report = dataclasses.replace(self._report, in_use=names)

    def _is_due(self, every_s: float) -> bool:
        at = self._written_at
        # A caller that comes once in that time may come a little early.
        return at is None or clock.boottime() >= at + 0.9 * every_s

    def _write_if_due(self, every_s: float) -> None:
        if self._is_due(every_s):
            self._write()

    def _write(self) -> None:
        if self._version is None:  # `load` comes first
            raise ConflictError(
                f"{self._store.app}: another agent uses the host name "
                f"{self._report.host}"
            )
        self._written_at = None  # until the write has succeeded
        report = dataclasses.replace(
            self._report, beat=self._report.beat + 1, at=clock.stamp(clock.wall())
        )
        try:
            self._version = self._store.hosts.write(report, self._version)
        except ConflictError:
            self._version = None  # the record is read before the next write
            raise
        self._report, self._written_at = report, clock.boottime()
