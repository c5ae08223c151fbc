"""What clients can request about apps.

A request becomes an `Operation`, or changes the records at once; what an operation takes is
left to the plan.  Every method raises GaplessError.
"""

from __future__ import annotations

import dataclasses

from gapless.base import clock
from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.outside.text import counted
from gapless.supervisor.control import fields, reports
from gapless.supervisor.control.admission import Admissions
from gapless.supervisor.control.control_connection import ControlConnection
from gapless.supervisor.control.request import Request
from gapless.supervisor.decide.actions import STOPPED
from gapless.supervisor.decide.addresses import expected
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.instances import SeatRecord
from gapless.supervisor.memory.model import Permit, Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.state import HostRecord, StateFile


class Requests:
    """Turns requests into operations and changes of the records."""

    def __init__(
        self, apps: Apps, host: HostRecord, admissions: Admissions, state: StateFile
    ) -> None:
        self._apps, self._host = apps, host
        self._admissions, self._state = admissions, state

    def app(self, name: str | None) -> AppRecord:
        """Return an app by name, which a request may change.  Raises NotFoundError."""
        app = self._apps.named(name)
        self._apps.touch(app.name)
        return app

    # --- operations -------------------------------------------------------------------

    def start(self, request: Request, connection: ControlConnection) -> None:
        """Start an app for the first time, or one that is stopped or gave up."""
        wanted = _spec(request)
        self._apps.check_read(wanted.name)
        app = self._apps.get(wanted.name)
        if app is not None and app.running and _lives(app):
            raise runs_already(app.spec, wanted)
        app = app or AppRecord(name=wanted.name, spec=wanted)
        operation = _operation(app, "start", wanted, request.token, connection)
        self._admissions.check(app, operation)
        if app.name not in self._apps:
            self._apps[app.name] = app
        self._apps.touch(app.name)
        app.forget_restarts()
        self._admissions.admit(app, operation)

    def reload(self, request: Request, connection: ControlConnection) -> None:
        """Hand an app over to a new generation, with a new spec or the same."""
        app = self.app(request.app)
        wanted = request.spec or app.spec
        if wanted.name != app.name:
            raise MisuseError(f"{app.name}: the spec is one of {wanted.name}")
        operation = _operation(app, request.op, wanted, request.token, connection)
        known = (None, app.spec, app.spec_that_serves())
        operation.keeps = request.op == "restart" and request.spec in known
        operation.back = bool(request.back)
        operation.recycle = bool(request.recycle)
        operation.permit = bool(request.permit)
        operation.drops = request.drops
        self._admissions.check(app, operation)
        self._admissions.admit(app, operation)

    def renew(self, app: AppRecord, reason: str) -> None:
        """Hand an app over to a new generation for a reason that gapless found itself.

        Raises HandoffError.
        """
        self._apps.touch(app.name)
        operation = _operation(app, "restart", app.spec_that_serves(), "", None)
        operation.keeps = True
        operation.step("renewing", clock.monotonic(), reason)
        self._admissions.check(app, operation)
        self._admissions.admit(app, operation)

    def scale(self, request: Request, connection: ControlConnection) -> None:
        """Run more or fewer instances; fewer is a handoff, so that nothing is cut."""
        app = self.app(request.app)
        count = fields.instances(request.instances, app.name)
        wanted = dataclasses.replace(app.spec_that_serves(), instances=count)
        operation = _operation(app, "scale", wanted, request.token, connection)
        operation.keeps = True
        serving = app.in_role(Role.SERVING)
        steady = app.operation is None and len(app.generations) == 1
        if not (app.running and steady and serving) or count < len(serving.seats):
            self._admissions.check(app, operation)
            self._admissions.admit(app, operation)
            return
        operation.old_generation = operation.generation = serving.number
        operation.seats_from = len(serving.seats)
        listens = {
            each.ordinal: each.listens for each in serving.instances if each.listens
        }
        every = {address for each in listens.values() for address in each}
        del app.ids[len(serving.seats) :]  # those of instances that are gone
        for ordinal in range(len(serving.seats), count):
            where = expected(ordinal, listens, every)
            serving.seats.append(SeatRecord(ordinal, expected=where))
        serving.spec = app.spec = wanted
        self._apps.allot_ids(app, count)
        app.operation = operation
        operation.step("starting", clock.monotonic(), counted(count, "instance"))
        self._state.save()

    def stop(self, request: Request, connection: ControlConnection) -> None:
        """Let an app finish and end; `delete` forgets it as well."""
        app = self.app(request.app)
        app.running = app.finished = False
        app.stop_reason = ""
        app.deleted |= request.op == "delete"
        if app.operation is not None and app.operation.stops:
            self._join(app, app.operation, request, connection)
            return
        for earlier in (app.operation, app.waiting):
            if earlier is not None:
                self._end_stopped(app, earlier)
        app.waiting = None
        current = app.current() or app.in_role(Role.TRIAL)
        app.operation = _operation(app, request.op, app.spec, request.token, connection)
        app.operation.generation = current.number if current else None
        self._state.save()

    def _join(
        self,
        app: AppRecord,
        under_way: Operation,
        request: Request,
        connection: ControlConnection,
    ) -> None:
        """Let one more client wait for the end of an app that is under way."""
        if app.waiting is not None:
            self._end_stopped(app, app.waiting)
            app.waiting = None
        if app.deleted:
            under_way.action = "delete"
        if request.token:
            under_way.joined.append(request.token)
        under_way.follow(connection.send)
        self._state.save()

    def _end_stopped(self, app: AppRecord, earlier: Operation) -> None:
        earlier.failure = earlier.failure or STOPPED
        self._host.keep_outcome(reports.end(earlier, app.totals))

    def settle(self, request: Request) -> bool:
        """End an operation that waits, or is over but for a drain; return whether it was.

        It is named by its token.  Whoever waits for the client that asked for it need not
        wait for the drain.
        """
        return self._admissions.settle(self.app(request.app), request.token)

    # --- changes of the records -------------------------------------------------------

    def permit(self, request: Request) -> bool:
        """Permit or refuse the switch of a generation that waits for it; return which.

        A host that was paused after it was permitted must not act on it
        (CLOCK_BOOTTIME).
        """
        app = self.app(request.app)
        asked = max(app.generations, key=lambda g: g.number, default=None)
        refusal = _refusal(request)
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
        app = self.app(request.app)
        return app, fields.signal_number(request.signal, app.name)

    def register(self, request: Request) -> list[str]:
        """Make apps known, and leave them stopped; those that run are left alone.

        Returns those that do not run.  Raises MisuseError if it is one, and it runs.
        """
        if not request.specs:
            wanted = _spec(request)
            if not self._register(wanted):
                raise MisuseError(f"{wanted.name} runs already")
            return [wanted.name]
        return [each.name for each in request.specs if self._register(each)]

    def _register(self, wanted: spec.AppSpec) -> bool:
        self._apps.check_read(wanted.name)
        app = self._apps.get(wanted.name)
        if app is not None and app.generations:
            return False
        if app is None:
            app = AppRecord(name=wanted.name, spec=wanted)
            self._apps[wanted.name] = app
        self._apps.touch(app.name)
        app.spec, app.running, app.finished = wanted, False, False
        app.stop_reason = ""
        self._apps.allot_ids(app, wanted.instances)
        self._state.save()
        return True

    def reset(self, request: Request) -> None:
        """Count restarts from zero."""
        app = self.app(request.app)
        app.forget_restarts()
        for generation in app.generations:
            for seat in generation.seats:
                seat.restarts = seat.short_lives = seat.quick_exits = 0
        self._state.save()


def runs_already(running: spec.AppSpec, wanted: spec.AppSpec) -> MisuseError:
    """Return why an app is not started, and which command hands it over."""
    name = running.name
    hint = f"`gapless reload {name}` gives it its new configuration"
    if wanted.config_file and wanted.config_file != running.config_file:
        before = running.config_file or "a command"
        hint = (
            f"it was started by {before}; `gapless reload {wanted.config_file}` hands "
            "over to what that file says"
        )
    elif wanted.config_file != running.config_file:
        hint = (
            f"it was started by {running.config_file}, which `gapless reload {name}` reads "
            "again; `--name NAME` starts this one beside it"
        )
    return MisuseError(f"{name} runs already", hint=hint)


def _spec(request: Request) -> spec.AppSpec:
    """Return the spec that an op needs."""
    if request.spec is None:
        raise MisuseError(f"{request.op}: the request has no spec")
    return request.spec


def _refusal(request: Request) -> str:
    """Return why a switch is not permitted; empty if it is."""
    if request.until is not None and clock.boottime() >= request.until:
        return "the permit came too late: this host was paused"
    return request.refused or ""


def _operation(
    app: AppRecord,
    action: str,
    wanted: spec.AppSpec,
    token: str,
    connection: ControlConnection | None,
) -> Operation:
    current = app.current()
    return Operation(
        app=app.name,
        action=action,
        asked_at=clock.monotonic(),
        started_at=clock.stamp(clock.wall()),
        spec=wanted,
        token=token,
        old_generation=current.number if current else None,
        old_release=current.spec.release if current else "",
        waiters=[connection.send] if connection else [],
    )


def _lives(app: AppRecord) -> bool:
    return any(generation.role is not Role.RETIRING for generation in app.generations)
