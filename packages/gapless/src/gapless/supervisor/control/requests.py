"""What clients can request about apps.

A request becomes an `Operation`, or changes the records at once; what an operation takes is
left to the plan.  Every method raises GaplessError.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from gapless.base import clock
from gapless.base.errors import MisuseError, NotFoundError
from gapless.supervisor.control import reports
from gapless.supervisor.control.admission import Admissions
from gapless.supervisor.control.control_socket import ControlConnection
from gapless.supervisor.control.fields import (
    instances_in,
    refusal_in,
    signal_in,
    spec_in,
    token_in,
)
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.instances import SeatRecord
from gapless.supervisor.memory.model import Permit, Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.state import HostRecord, StateFile

Request = dict[str, Any]


class Requests:
    """Turns requests into operations and changes of the records."""

    def __init__(
        self, apps: Apps, host: HostRecord, admissions: Admissions, state: StateFile
    ) -> None:
        self._apps, self._host = apps, host
        self._admissions, self._state = admissions, state

    def app(self, name: Any) -> AppRecord:
        """Return an app by name.  Raises NotFoundError."""
        app = self._apps.get(name) if isinstance(name, str) else None
        if app is None:
            known = ", ".join(sorted(self._apps)) or "none"
            raise NotFoundError(
                f"there is no app named {name!r}", hint=f"apps here: {known}"
            )
        return app

    # --- operations -------------------------------------------------------------------

    def start(self, request: Request, connection: ControlConnection) -> None:
        """Start an app for the first time, or one that is stopped or gave up."""
        wanted = spec_in(request)
        app = self._apps.get(wanted.name)
        if app is not None and app.running and _lives(app):
            raise MisuseError(
                f"{app.name} runs already",
                hint=f"`gapless reload {app.name}` gives it its new configuration",
            )
        if app is None:
            app = self._apps[wanted.name] = AppRecord(name=wanted.name, spec=wanted)
        app.restarts = 0
        self._admissions.admit(
            app, _operation(app, "start", wanted, request, connection)
        )

    def reload(self, request: Request, connection: ControlConnection) -> None:
        """Hand an app over to a new generation, with a new spec or the same."""
        app = self.app(request.get("app"))
        wanted = spec_in(request) if request.get("spec") else app.spec
        if wanted.name != app.name:
            raise MisuseError(f"{app.name}: the spec is one of {wanted.name}")
        action = str(request["op"])
        operation = _operation(app, action, wanted, request, connection)
        operation.recycle = bool(request.get("recycle"))
        operation.permit = bool(request.get("permit"))
        self._admissions.admit(app, operation)

    def renew(self, app: AppRecord, reason: str) -> None:
        """Hand an app over to a new generation for a reason that gapless found itself."""
        operation = _operation(app, "restart", app.spec, {}, None)
        operation.step("renewing", clock.monotonic(), reason)
        self._admissions.admit(app, operation)

    def scale(self, request: Request, connection: ControlConnection) -> None:
        """Run more or fewer instances; fewer is a handoff, so that nothing is cut."""
        app = self.app(request.get("app"))
        count = instances_in(request, app.name)
        wanted = dataclasses.replace(app.spec, instances=count)
        operation = _operation(app, "scale", wanted, request, connection)
        serving = app.in_role(Role.SERVING)
        steady = app.operation is None and len(app.generations) == 1
        if not (app.running and steady and serving) or count < len(serving.seats):
            self._admissions.admit(app, operation)
            return
        operation.old_generation = operation.generation = serving.number
        for ordinal in range(len(serving.seats), count):
            serving.seats.append(SeatRecord(ordinal))
        serving.spec = app.spec = wanted
        self._apps.allot_ids(app, count)
        app.operation = operation
        operation.step("starting", clock.monotonic(), f"{count} instances")
        self._state.save()

    def stop(self, request: Request, connection: ControlConnection) -> None:
        """Let an app finish and end; `delete` forgets it as well."""
        app = self.app(request.get("app"))
        app.running = app.finished = False
        app.stop_reason = ""
        app.deleted |= request["op"] == "delete"
        for earlier in (app.operation, app.waiting):
            if earlier is not None:
                earlier.failure = earlier.failure or "the app was stopped"
                self._host.keep_outcome(reports.end(earlier))
        app.waiting = None
        current = app.current() or app.in_role(Role.TRIAL)
        action = str(request["op"])
        app.operation = _operation(app, action, app.spec, request, connection)
        app.operation.generation = current.number if current else None
        self._state.save()

    # --- changes of the records -------------------------------------------------------

    def permit(self, request: Request) -> bool:
        """Permit or refuse the switch of a generation that waits for it; return which.

        A host that was paused after it was permitted must not act on it
        (CLOCK_BOOTTIME).
        """
        app = self.app(request.get("app"))
        asked = max(app.generations, key=lambda g: g.number, default=None)
        refusal = refusal_in(request)
        if asked is not None and asked.permit is Permit.GIVEN and not refusal:
            return True  # the answer was lost, and the client asks again
        waits = asked is not None and asked.role in (Role.TRIAL, Role.RECYCLING)
        if asked is None or not waits or asked.permit is not Permit.ASKED:
            raise NotFoundError(f"{app.name}: nothing waits for a permit")
        asked.permit_refusal = refusal
        asked.permit = Permit.REFUSED if refusal else Permit.GIVEN
        self._state.save()
        return not refusal

    def signal(self, request: Request) -> tuple[AppRecord, int]:
        """Return which app is to get which signal."""
        app = self.app(request.get("app"))
        return app, signal_in(request, app.name)

    def register(self, request: Request) -> None:
        """Make an app known, and leave it stopped."""
        wanted = spec_in(request)
        app = self._apps.get(wanted.name)
        if app is not None and app.generations:
            raise MisuseError(f"{app.name} runs already")
        if app is None:
            app = AppRecord(name=wanted.name, spec=wanted)
            self._apps[wanted.name] = app
        app.spec, app.running, app.finished = wanted, False, False
        app.stop_reason = ""
        self._apps.allot_ids(app, wanted.instances)
        self._state.save()

    def reset(self, request: Request) -> None:
        """Count restarts from zero."""
        app = self.app(request.get("app"))
        app.restarts = 0
        for generation in app.generations:
            for seat in generation.seats:
                seat.restarts = seat.short_lives = seat.quick_exits = 0
        self._state.save()


def _operation(
    app: AppRecord,
    action: str,
    wanted: spec.AppSpec,
    request: Request,
    connection: ControlConnection | None,
) -> Operation:
    current = app.current()
    return Operation(
        app=app.name,
        action=action,
        asked_at=clock.monotonic(),
        started_at=clock.stamp(clock.wall()),
        spec=wanted,
        token=token_in(request),
        old_generation=current.number if current else None,
        old_release=current.spec.release if current else "",
        waiters=[connection.send] if connection else [],
    )


def _lives(app: AppRecord) -> bool:
    return any(generation.role is not Role.RETIRING for generation in app.generations)
