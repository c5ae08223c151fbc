"""What faces can ask for.

A wish becomes an `Operation`; what it takes is left to `plan`.  At most one operation of
an app is under way; the newest wish waits behind it, or takes its place if it has not
switched yet, and says so.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable
from typing import Any

from gapless.base import clock
from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.names import is_app_name
from gapless.supervisor import cron, plan, spec
from gapless.supervisor.beginning import Beginnings
from gapless.supervisor.control import Conversation
from gapless.supervisor.listeners import Listeners
from gapless.supervisor.model import Permit, Role
from gapless.supervisor.operations import Operation
from gapless.supervisor.records import (
    AppRecord,
    SeatRecord,
    allot_ids,
)

MOST_INSTANCES = 1024


class Requests:
    """Turns what is asked for into changes of the records."""

    def __init__(
        self, apps: dict[str, AppRecord], listeners: Listeners, save: Callable[[], None]
    ) -> None:
        self._apps, self._save = apps, save
        self._beginnings = Beginnings(apps, listeners, save)

    def app(self, name: Any) -> AppRecord:
        """Return an app by name.  Raises NotFoundError."""
        app = self._apps.get(name) if isinstance(name, str) else None
        if app is None:
            known = ", ".join(sorted(self._apps)) or "none"
            raise NotFoundError(
                f"there is no app named {name!r}", hint=f"apps here: {known}"
            )
        return app

    # --- wishes -------------------------------------------------------------------

    def start(self, request: dict[str, Any], conversation: Conversation) -> None:
        """Start an app for the first time, or one that is stopped or gave up."""
        wanted = _spec(request)
        app = self._apps.get(wanted.name)
        if app is not None and app.running and _lives(app):
            raise MisuseError(
                f"{app.name} runs already",
                hint=f"`gapless reload {app.name}` gives it its new configuration",
            )
        if app is None:
            app = self._apps[wanted.name] = AppRecord(name=wanted.name, spec=wanted)
        app.restarts = 0
        self._ask(app, "start", wanted, conversation, _token(request))

    def reload(self, request: dict[str, Any], conversation: Conversation) -> None:
        """Hand an app over to a new generation, with a new spec or the same."""
        app = self.app(request.get("app"))
        wanted = _spec(request) if request.get("spec") else app.spec
        if wanted.name != app.name:
            raise MisuseError(f"{app.name}: the spec is one of {wanted.name}")
        self._ask(
            app,
            str(request["op"]),
            wanted,
            conversation,
            _token(request),
            recycle=bool(request.get("recycle")),
            permit=bool(request.get("permit")),
        )

    def permit(self, request: dict[str, Any]) -> bool:
        """Let a generation switch, or not, that waits for this; tell which.

        Who was paused after it was permitted must not act on it (CLOCK_BOOTTIME).  Raises
        NotFoundError.
        """
        app = self.app(request.get("app"))
        trial = app.in_role(Role.TRIAL, Role.RECYCLING)
        operation = app.operation
        if (
            trial is None
            or operation is None
            or operation.generation != trial.number
            or trial.permit is not Permit.ASKED
        ):
            raise NotFoundError(f"{app.name}: nothing waits for a permit")
        trial.refused = str(request.get("refused") or "")
        until = request.get("until")
        if until is not None and clock.boottime() >= float(until):
            trial.refused = "the permit came too late: this host was paused"
        trial.permit = Permit.REFUSED if trial.refused else Permit.GIVEN
        self._save()
        return not trial.refused

    def scale(self, request: dict[str, Any], conversation: Conversation) -> None:
        """Run more or fewer instances; fewer is a handoff, so that nothing is cut."""
        app = self.app(request.get("app"))
        count = request.get("instances")
        if not isinstance(count, int) or not 1 <= count <= MOST_INSTANCES:
            raise MisuseError(
                f"{app.name}: cannot run {count!r} instances",
                hint=f"a number from 1 to {MOST_INSTANCES}; `gapless stop` for none",
            )
        wanted = dataclasses.replace(app.spec, instances=count)
        serving = app.in_role(Role.SERVING)
        steady = app.operation is None and len(app.generations) == 1
        if not (app.running and steady and serving) or count < len(serving.seats):
            self._ask(app, "scale", wanted, conversation, _token(request))
            return
        operation = self._operation(app, "scale", wanted, conversation)
        operation.token = _token(request)
        operation.old_generation = operation.generation = serving.number
        for ordinal in range(len(serving.seats), count):
            serving.seats.append(SeatRecord(ordinal))
        serving.spec = app.spec = wanted
        allot_ids(self._apps, app, count)
        app.operation = operation
        operation.step("starting", clock.monotonic(), f"{count} instances")
        self._save()

    def stop(self, request: dict[str, Any], conversation: Conversation) -> None:
        """Let an app finish and end; `delete` forgets it as well."""
        app = self.app(request.get("app"))
        app.running = app.finished = False
        app.stopped_why = ""
        app.deleted |= request["op"] == "delete"
        for earlier in (app.operation, app.waiting):
            if earlier is not None:
                earlier.failure = earlier.failure or "the app was stopped"
                earlier.end()
        app.waiting = None
        current = app.current() or app.in_role(Role.TRIAL)
        app.operation = self._operation(app, str(request["op"]), app.spec, conversation)
        app.operation.token = _token(request)
        app.operation.generation = current.number if current else None
        self._save()

    def signal(self, request: dict[str, Any]) -> tuple[AppRecord, int]:
        """Return which app is to get which signal."""
        app = self.app(request.get("app"))
        name = str(request.get("signal", "")).upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        if name not in signal.Signals.__members__:
            raise MisuseError(f"{app.name}: there is no signal {name}")
        return app, signal.Signals[name]

    def register(self, request: dict[str, Any]) -> None:
        """Make an app known, and leave it stopped."""
        wanted = _spec(request)
        app = self._apps.get(wanted.name)
        if app is not None and app.generations:
            raise MisuseError(f"{app.name} runs already")
        if app is None:
            app = AppRecord(name=wanted.name, spec=wanted)
            self._apps[wanted.name] = app
        app.spec, app.running, app.finished = wanted, False, False
        app.stopped_why = ""
        allot_ids(self._apps, app, wanted.instances)
        self._save()

    def reset(self, request: dict[str, Any]) -> None:
        """Count restarts from zero."""
        app = self.app(request.get("app"))
        app.restarts = 0
        for generation in app.generations:
            for seat in generation.seats:
                seat.restarts = seat.short_lives = seat.hasty = 0
        self._save()

    def renew(self, app: AppRecord, why: str) -> None:
        """Hand an app over to a new generation because of what gapless saw itself."""
        operation = self._operation(app, "restart", app.spec, None)
        operation.step("renewing", clock.monotonic(), why)
        self._admit(app, operation)

    # --- what becomes of them -----------------------------------------------------

    def _ask(
        self,
        app: AppRecord,
        action: str,
        wanted: spec.AppSpec,
        conversation: Conversation,
        token: str,
        *,
        recycle: bool = False,
        permit: bool = False,
    ) -> None:
        operation = self._operation(app, action, wanted, conversation)
        operation.token, operation.recycle = token, recycle
        operation.permit = permit
        self._admit(app, operation)

    def _admit(self, app: AppRecord, operation: Operation) -> None:
        """Begin an operation, now or when what is under way lets it."""
        now = clock.monotonic()
        if app.operation is not None and app.operation.action in ("stop", "delete"):
            if app.deleted:
                raise MisuseError(f"{app.name} is being deleted")
            self._wait(app, operation, now, "the app is stopping")
            return
        match plan.admit(app.observed(now)):
            case plan.Admission.WAIT:
                self._wait(app, operation, now, "an earlier handoff must finish")
            case plan.Admission.SUPERSEDE:
                trial = app.in_role(Role.TRIAL)
                assert trial is not None
                number = app.last_generation + 1
                trial.failure = f"superseded by generation {number}"
                trial.enter(Role.RETIRING, now)
                if app.operation is not None:
                    app.operation.superseded = True
                    app.operation.failure = trial.failure
                    app.operation.step("superseded", now, trial.failure)
                    app.last_report = app.operation.end()
                self._beginnings.begin(app, operation)
            case plan.Admission.NOW:
                if app.operation is not None:
                    self._let_go(app)
                self._beginnings.begin(app, operation)

    def _let_go(self, app: AppRecord) -> None:
        """End an operation whose generation serves while an older one finishes still."""
        if app.operation is not None:
            now = clock.monotonic()
            app.operation.step("superseded", now, "the old generation goes on draining")
            app.last_report = app.operation.end()
            app.operation = None

    def _wait(self, app: AppRecord, operation: Operation, now: float, why: str) -> None:
        if app.waiting is not None:
            app.waiting.superseded = True
            app.waiting.failure = "superseded by a later request"
            app.waiting.step("superseded", now, app.waiting.failure)
            app.waiting.end()
        app.waiting = operation
        operation.step("waiting", now, why)

    def begin(self, app: AppRecord, operation: Operation) -> None:
        """Let an operation begin that had to wait."""
        self._beginnings.begin(app, operation)

    def resume(self, app: AppRecord) -> None:
        """Start an app again after its host or its keeper ended."""
        self._beginnings.resume(app)

    def _operation(
        self,
        app: AppRecord,
        action: str,
        wanted: spec.AppSpec,
        conversation: Conversation | None,
    ) -> Operation:
        current = app.current()
        return Operation(
            app=app.name,
            action=action,
            asked_at=clock.monotonic(),
            started_at=clock.stamp(clock.wall()),
            spec=wanted,
            old_generation=current.number if current else None,
            old_release=current.spec.release if current else "",
            waiters=[conversation.tell] if conversation else [],
        )


def _spec(request: dict[str, Any]) -> spec.AppSpec:
    try:
        wanted = spec.from_wire(request["spec"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MisuseError(f"the spec in the request is none: {error!r}") from error
    try:
        if wanted.renew.cron:
            cron.parse(wanted.renew.cron)
    except ValueError as error:
        raise MisuseError(f"{wanted.name}: {error}") from error
    if not is_app_name(wanted.name):
        raise MisuseError(f"{wanted.name!r} cannot be the name of an app")
    if not wanted.command or not 1 <= wanted.instances <= MOST_INSTANCES:
        raise MisuseError(f"{wanted.name}: the spec has no command or no instances")
    return wanted


def _token(request: dict[str, Any]) -> str:
    return str(request.get("token") or "")


def _lives(app: AppRecord) -> bool:
    return any(generation.role is not Role.RETIRING for generation in app.generations)
