"""When an operation may begin: now, later, or in the place of another.

At most one operation of an app is under way.  The newest request waits behind it, or
supersedes it if it has not switched yet, and its client is told which.
"""

from __future__ import annotations

from typing import Any

from gapless.base import clock, events
from gapless.base.errors import HandoffError, MisuseError
from gapless.base.names import Home
from gapless.supervisor.control import reports
from gapless.supervisor.control.new_generations import NewGenerations
from gapless.supervisor.decide import last_words, plan
from gapless.supervisor.decide.readiness import is_done
from gapless.supervisor.memory import report_files
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.model import Phase, Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.observe import log_tail
from gapless.supervisor.observe.evidence import Evidence
from gapless.supervisor.sockets.listeners import Listeners

SUPERSEDED = "superseded by a later request"
OUTCOME_S = 1.0
"""How long an outcome may wait to be written with others; the keeper has it at once."""


class Admissions:
    """Begins operations when it is their turn, and ends those that are over."""

    def __init__(
        self,
        home: Home,
        state: StateFile,
        new_generations: NewGenerations,
        host: HostRecord,
        *,
        evidence: Evidence,
        listeners: Listeners,
        log: events.Log,
    ) -> None:
        self._home, self._state = home, state
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
        if app.operation is not None and app.operation.stops:
            if app.deleted:
                raise MisuseError(f"{app.name} is being deleted")
            self._supersede_waiting(app)
            self._wait(app, operation, "the app is stopping")
            return
        self._supersede_waiting(app)  # also where the newer one need not wait
        match plan.admit(app.observed(now), back=operation.back):
            case plan.Admission.WAIT:
                self._wait(app, operation, "an earlier handoff must finish")
            case plan.Admission.DRAINS:
                operation.told_drains = True
                self._wait(app, operation, _what_drains(app, now))
            case plan.Admission.SUPERSEDE:
                self._supersede_trial(app)
                self.begin(app, operation)
            case plan.Admission.NOW:
                self._end_draining(app)
                self.begin(app, operation)

    def begin(self, app: AppRecord, operation: Operation) -> None:
        """Begin an operation."""
        self._new_generations.begin(app, operation)

    def begin_waiting(self, app: AppRecord) -> bool:
        """Begin the operation that waits, if it is its turn; return whether it was."""
        waiting, under_way = app.waiting, app.operation
        if waiting is None or (under_way is not None and under_way.stops):
            return False
        now = clock.monotonic()
        admission = plan.admit(app.observed(now), back=waiting.back)
        if admission is plan.Admission.DRAINS and not waiting.told_drains:
            waiting.told_drains = True
            waiting.step("waiting", now, _what_drains(app, now))
        is_over = under_way is None and not app.running
        if admission is not plan.Admission.NOW and not is_over:
            return False
        app.waiting = None
        self._end_draining(app)
        self.begin(app, waiting)
        return True

    def settle(self, app: AppRecord, token: str) -> bool:
        """End an operation that waits, or is over but for a drain; say if it was."""
        if app.waiting is not None and app.waiting.token == token:
            return self._supersede_waiting(app)
        operation = app.operation
        if operation is None or operation.stops or operation.token != token:
            return False
        now = plan.admit(app.observed(clock.monotonic()), back=True)
        over = operation.failure or _is_settled(app, operation)
        if now is not plan.Admission.NOW or not over:
            return False
        self._end_draining(app)
        return True

    def end(self, app: AppRecord, operation: Operation) -> None:
        """End the operation of an app, and keep its report."""
        app.operation = None
        if operation.failure:
            operation.log_tail = log_tail.last_lines(
                operation.log_marks, operation.generation or 0
            )
            operation.hint = operation.hint or last_words.hint(
                operation.log_tail, operation.failure
            )
        app.last_report = self._report(app, operation)
        for token in operation.joined:
            self._host.keep_outcome({**app.last_report, "token": token})
        directory = f"{self._home.reports}/{app.name}"
        name = f"{operation.action}-{operation.generation or 0}"
        try:
            report_files.add(directory, name, app.last_report)
        except OSError as error:
            self._log.write("write-failed", path=directory, reason=str(error))
        # What failed must not come back after a power cut; what went well is there already.
        self._state.save(within_s=0.0 if operation.failure else OUTCOME_S)

    def _supersede_trial(self, app: AppRecord) -> None:
        """End the operation whose generation is on trial."""
        trial = app.in_role(Role.TRIAL)
        assert trial is not None
        trial.failure = f"superseded by generation {app.last_generation + 1}"
        trial.enter(Role.RETIRING, clock.monotonic())
        app.take_back(trial)
        if app.operation is not None:
            app.operation.superseded = True
            app.operation.failure = trial.failure
            app.step("superseded", trial.failure)
            app.last_report = self._report(app, app.operation)

    def _end_draining(self, app: AppRecord) -> None:
        """End an operation that is over but for what still drains.

        One that only fills seats may not have come that far: it is superseded.
        """
        operation = app.operation
        if operation is None:
            return
        if operation.failure or _is_settled(app, operation):
            app.step("superseded", "the old generation goes on draining")
        else:
            operation.superseded = True
            operation.failure = SUPERSEDED
            app.step("superseded", operation.failure)
        self.end(app, operation)

    def _wait(self, app: AppRecord, operation: Operation, reason: str) -> None:
        app.waiting = operation
        operation.step("waiting", clock.monotonic(), reason)

    def _supersede_waiting(self, app: AppRecord) -> bool:
        """End the operation that waits, as a newer one comes; return whether one did."""
        waiting, app.waiting = app.waiting, None
        if waiting is not None:
            waiting.superseded = True
            waiting.failure = SUPERSEDED
            waiting.step("superseded", clock.monotonic(), waiting.failure)
            self._host.keep_outcome(self._report(app, waiting))
            self._state.save()
        return waiting is not None

    def _report(self, app: AppRecord, operation: Operation) -> dict[str, Any]:
        """Return the report of an operation that another one follows."""
        found = reports.end(operation, app.totals)
        self._log.write("report", **found)
        return found


def _what_drains(app: AppRecord, now: float) -> str:
    """Return what an operation waits for while as many generations drain as may."""
    drains = [g for g in app.generations if g.role is Role.RETIRING and g.served]
    until = {g.number: g.since + g.spec.stop.drain_timeout_s for g in drains}
    first = min(drains, key=lambda each: until[each.number])
    left_s = max(0.0, until[first.number] - now)
    pids = " ".join(str(i.pid) for i in first.instances if i.leader_alive and i.pid)
    end = f"; `kill {pids}` ends it now, with what it has begun" if pids else ""
    return (
        f"{len(drains)} generations drain, and no more may at once; generation "
        f"{first.number} does for {left_s:.0f} s at most{end}"
    )


def is_complete(generation: GenerationRecord, operation: Operation) -> bool:
    """Return whether every seat has an instance that is ready, or had one that is done.

    Only the seats of an operation count.
    """
    value = generation.value()
    ready = {i.ordinal for i in value.instances if i.phase is Phase.READY}
    own = value.seats[operation.seats_from :]
    return all(s.ordinal in ready or is_done(value, s) for s in own)


def _is_settled(app: AppRecord, operation: Operation) -> bool:
    """Return whether what an operation began serves, and has proved itself."""
    if operation.took("proven"):
        return True
    found = [g for g in app.generations if g.number == operation.generation]
    return not found or is_complete(found[0], operation)
