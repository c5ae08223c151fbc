"""When an operation may begin: now, later, or in the place of another.

At most one operation of an app is under way.  The newest request waits behind it, or
supersedes it if it has not switched yet, and its client is told which.
"""

from __future__ import annotations

from typing import Any

from gapless.base import clock, events
from gapless.base.errors import HandoffError, MisuseError
from gapless.supervisor.control import reports
from gapless.supervisor.control.new_generations import NewGenerations
from gapless.supervisor.decide import plan
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.state import HostRecord
from gapless.supervisor.observe.evidence import Evidence
from gapless.supervisor.sockets.listeners import Listeners


class Admissions:
    """Begins operations when it is their turn."""

    def __init__(
        self,
        new_generations: NewGenerations,
        host: HostRecord,
        evidence: Evidence,
        listeners: Listeners,
        *,
        log: events.Log,
    ) -> None:
        self._new_generations, self._host = new_generations, host
        self._evidence, self._listeners = evidence, listeners
        self._log = log

    def check(self, app: AppRecord, operation: Operation) -> None:
        """Refuse what would cut something off here; say what takes longer.

        Raises HandoffError, where the kernel does not show connections: what serves, if
        anything does, serves as before.
        """
        reason = self._evidence.why_unavailable()
        if not reason:
            return
        unseen = f"connections cannot be seen here ({reason})"
        if operation.spec.outgoing:
            raise HandoffError(
                f"{app.name}: {unseen}, so nothing can wait for calls to databases",
                hint="remove `outgoing`: then an old generation ends after its "
                "drain_timeout_s, whatever it waits for; `gapless doctor` says more",
            )
        before = app.current()
        if before is None or not self._listeners.of_app(app.name):
            return  # nothing is replaced that has connections
        if self._new_generations.is_recycled(app, operation, before):
            raise HandoffError(
                f"{app.name}: {unseen}, so no instance is known to be idle, and each "
                f"recycle would keep clients waiting for the whole drain_timeout_s",
                hint="let two generations overlap, or stop the app and start it; "
                "`gapless doctor` says more",
            )
        limit = f"{before.spec.stop.drain_timeout_s:g} s"
        operation.step(
            *("unseen", clock.monotonic()),
            f"{unseen}: generation {before.number} will drain for {limit}, idle or not",
        )

    def admit(self, app: AppRecord, operation: Operation) -> None:
        """Begin an operation, now or when what is under way allows it.

        Raises MisuseError if the app is being deleted.
        """
        now = clock.monotonic()
        if app.operation is not None and app.operation.action in ("stop", "delete"):
            if app.deleted:
                raise MisuseError(f"{app.name} is being deleted")
            self._wait(app, operation, "the app is stopping")
            return
        match plan.admit(app.observed(now)):
            case plan.Admission.WAIT:
                self._wait(app, operation, "an earlier handoff must finish")
            case plan.Admission.SUPERSEDE:
                self._supersede_trial(app)
                self.begin(app, operation)
            case plan.Admission.NOW:
                self._end_draining(app)
                self.begin(app, operation)

    def begin(self, app: AppRecord, operation: Operation) -> None:
        """Begin an operation."""
        self._new_generations.begin(app, operation)

    def _supersede_trial(self, app: AppRecord) -> None:
        """End the operation whose generation is on trial."""
        trial = app.in_role(Role.TRIAL)
        assert trial is not None
        trial.failure = f"superseded by generation {app.last_generation + 1}"
        trial.enter(Role.RETIRING, clock.monotonic())
        if app.operation is not None:
            app.operation.superseded = True
            app.operation.failure = trial.failure
            app.step("superseded", trial.failure)
            app.last_report = self._report(app, app.operation)

    def _end_draining(self, app: AppRecord) -> None:
        """End an operation whose generation serves while an older one still finishes."""
        if app.operation is not None:
            app.step("superseded", "the old generation goes on draining")
            app.last_report = self._report(app, app.operation)
            app.operation = None

    def _wait(self, app: AppRecord, operation: Operation, reason: str) -> None:
        now = clock.monotonic()
        if app.waiting is not None:
            app.waiting.superseded = True
            app.waiting.failure = "superseded by a later request"
            app.waiting.step("superseded", now, app.waiting.failure)
            self._host.keep_outcome(self._report(app, app.waiting))
        app.waiting = operation
        operation.step("waiting", now, reason)

    def _report(self, app: AppRecord, operation: Operation) -> dict[str, Any]:
        """Return the report of an operation that another one follows."""
        found = reports.end(operation, app.totals)
        self._log.write("report", **found)
        return found
