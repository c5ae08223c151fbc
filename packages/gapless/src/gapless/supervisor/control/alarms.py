"""What the log says so that people can be told of it: restarts, and apps that gave up."""

from __future__ import annotations

from typing import NamedTuple

from gapless.base import events
from gapless.supervisor.control.status import given_up
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.model import Role


class Alarms(NamedTuple):
    """What of an app people are told, when it changes."""

    restarts: int
    gave_up: str


def of(app: AppRecord) -> Alarms:
    """Return how it is now."""
    current = app.current() or app.in_role(Role.TRIAL)
    return Alarms(app.restarts, app.stop_reason or given_up(current))


def write(log: events.Log, app: AppRecord, before: Alarms) -> None:
    """Write what is new of an app since *before*."""
    now = of(app)
    current = app.current() or app.in_role(Role.TRIAL)
    if now.restarts > before.restarts:
        ended = [s for s in (current.seats if current else ()) if s.exit_reason]
        last = max(ended, key=lambda seat: seat.exited_at or 0.0, default=None)
        reason = last.exit_reason if last else ""
        log.write("restarted", app=app.name, restarts=now.restarts, reason=reason)
    if now.gave_up and now.gave_up != before.gave_up:
        number = current.number if current else app.last_generation
        log.write("gave-up", app=app.name, generation=number, reason=now.gave_up)
