"""How an app is, in a word or two.  Pure."""

from __future__ import annotations

from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.model import Phase, Role


def status(app: AppRecord) -> str:
    """Return the status that `list` shows."""
    roles = {generation.role for generation in app.generations}
    current = app.current()
    if app.running and current is None and Role.TRIAL in roles:
        return "starting"
    if app.running and current is None and app.stop_reason:
        return "gave up"
    if not app.running or current is None:
        return "stopping" if roles else "stopped"
    if Role.TRIAL in roles or Role.PROVING in roles:
        return "reloading"
    if Role.RECYCLING in roles:
        return "recycling"
    if Role.RETIRING in roles:
        return "draining"
    if not any(instance.phase is Phase.READY for instance in current.instances):
        return "starting"
    return "online"


def given_up(generation: GenerationRecord | None) -> str:
    """Return which instances are not started any more, and why; empty if none."""
    seats = [] if generation is None else generation.seats
    found = [seat for seat in seats if seat.given_up]
    if not found:
        return ""
    names = ", ".join(str(seat.ordinal) for seat in found)
    return f"gave up on instance {names}: {found[0].exit_reason}"


def tried_again(generation: GenerationRecord | None) -> str:
    """Return how the last instance ended, if none is ready and it is tried again."""
    if generation is None or generation.role not in (Role.SERVING, Role.TRIAL):
        return ""
    ready = any(each.phase is Phase.READY for each in generation.instances)
    ended = [seat for seat in generation.seats if seat.exited_at is not None]
    if ready or not ended or any(seat.given_up for seat in generation.seats):
        return ""
    last = max(ended, key=lambda seat: seat.exited_at or 0.0)
    return f"{last.last_end}; it is tried again"


def counts_of(app: AppRecord) -> Counts | None:
    """Return what all instances of an app count; None if none of them does."""
    total = None
    for generation in app.generations:
        for instance in generation.instances:
            if instance.counts is not None:
                total = (total or Counts()).plus(instance.counts)
    return total
