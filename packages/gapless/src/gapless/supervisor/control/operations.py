"""How operations end: noticed after each plan, and written into a report."""

from __future__ import annotations

from gapless.base import clock, events
from gapless.base.names import Home
from gapless.supervisor.control import reports
from gapless.supervisor.control.admission import Admissions
from gapless.supervisor.decide import last_words, plan
from gapless.supervisor.decide.actions import TRYING
from gapless.supervisor.decide.readiness import is_done
from gapless.supervisor.memory import report_files
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.model import Phase, Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.state import StateFile
from gapless.supervisor.observe import log_tail

OUTCOME_S = 1.0
"""How long an outcome may wait to be written with others; the keeper has it at once."""


class Operations:
    """Ends operations, and begins those that wait."""

    def __init__(
        self, home: Home, admissions: Admissions, state: StateFile, log: events.Log
    ) -> None:
        self._home, self._admissions = home, admissions
        self._state, self._log = state, log

    def update(self, app: AppRecord) -> bool:
        """End the operation of an app if it is over; begin the one that waits.

        Returns whether anything changed.
        """
        ended = app.operation is not None and _is_over(app, app.operation)
        if ended and app.operation is not None:
            self._end(app, app.operation)
        if app.waiting is None or app.operation is not None:
            return ended
        admission = plan.admit(app.observed(clock.monotonic()))
        if admission is plan.Admission.NOW or not app.running:
            waiting, app.waiting = app.waiting, None
            self._admissions.begin(app, waiting)
            return True
        return ended

    def _end(self, app: AppRecord, operation: Operation) -> None:
        app.operation = None
        if operation.failure:
            app.ids = operation.ids_before or app.ids
            operation.log_tail = log_tail.last_lines(
                operation.log_marks, operation.generation or 0
            )
            operation.hint = operation.hint or last_words.hint(
                operation.log_tail, operation.failure
            )
            before = operation.old_generation
            old = (each for each in app.generations if each.number == before)
            serving = app.current() or next(old, None)
            if serving is not None:
                app.spec = serving.spec  # what failed is not what is asked for now
        app.last_report = reports.end(operation, app.totals)
        self._log.write("report", **app.last_report)
        directory = f"{self._home.reports}/{app.name}"
        name = f"{operation.action}-{operation.generation or 0}"
        try:
            report_files.add(directory, name, app.last_report)
        except OSError as error:
            self._log.write("write-failed", path=directory, reason=str(error))
        # What failed must not come back after a power cut; what went well is there already.
        self._state.save(within_s=0.0 if operation.failure else OUTCOME_S)


def _is_over(app: AppRecord, operation: Operation) -> bool:
    """Return whether an operation has come to its end; note how it failed, if so."""
    if operation.action in ("stop", "delete"):
        return not app.generations
    found = [g for g in app.generations if g.number == operation.generation]
    if not found:
        return True
    generation = found[0]
    if generation.failure:
        operation.failure, operation.hint = generation.failure, generation.hint
    if operation.took(TRYING):
        return True
    given_up = [seat for seat in generation.seats if seat.given_up]
    if given_up:
        operation.failure = given_up[0].exit_reason
        return generation.role is Role.SERVING
    numbers = [g.number for g in app.generations]
    if operation.old_generation in numbers and len(numbers) > 1:
        return False  # the one before has not ended yet
    return generation.role is Role.SERVING and _is_complete(generation)


def _is_complete(generation: GenerationRecord) -> bool:
    """Return whether every seat has an instance that is ready, or had one that is done."""
    value = generation.value()
    ready = {i.ordinal for i in value.instances if i.phase is Phase.READY}
    return all(s.ordinal in ready or is_done(value, s) for s in value.seats)
