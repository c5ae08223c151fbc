"""How operations end: noticed after each plan, and written into a report."""

from __future__ import annotations

from gapless.supervisor.control.admission import Admissions, is_complete
from gapless.supervisor.decide.actions import TRYING
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.memory.operations import Operation


class Operations:
    """Ends operations, and begins those that wait."""

    def __init__(self, admissions: Admissions) -> None:
        self._admissions = admissions

    def update(self, app: AppRecord) -> bool:
        """End the operation of an app if it is over; begin the one that waits.

        Returns whether anything changed.
        """
        operation = app.operation
        ended = operation is not None and _is_over(app, operation)
        if ended and operation is not None:
            self._admissions.end(app, operation)
        return self._admissions.begin_waiting(app) or ended


def _is_over(app: AppRecord, operation: Operation) -> bool:
    """Return whether an operation has come to its end; note how it failed, if so."""
    if operation.stops:
        return not app.generations
    found = [g for g in app.generations if g.number == operation.generation]
    if not found:
        return True
    generation = found[0]
    if generation.failure:
        operation.failure, operation.hint = generation.failure, generation.hint
    if operation.took(TRYING):
        return True
    own = generation.seats[operation.seats_from :]
    given_up = [seat for seat in own if seat.given_up]
    if given_up:
        operation.failure = given_up[0].exit_reason
        return generation.role is Role.SERVING
    numbers = [g.number for g in app.generations]
    if operation.old_generation in numbers and len(numbers) > 1:
        return False  # the one before has not ended yet
    return generation.role is Role.SERVING and is_complete(generation, operation)
