"""How a new generation begins: after a wish, or after the host came back."""

from __future__ import annotations

from collections.abc import Callable

from gapless.base import clock
from gapless.supervisor import spec
from gapless.supervisor.listeners import Listeners
from gapless.supervisor.model import Permit, Role
from gapless.supervisor.operations import Operation
from gapless.supervisor.records import (
    AppRecord,
    GenerationRecord,
    SeatRecord,
    allot_ids,
)


class Beginnings:
    """Makes the records of new generations."""

    def __init__(
        self, apps: dict[str, AppRecord], listeners: Listeners, save: Callable[[], None]
    ) -> None:
        self._apps, self._listeners, self._save = apps, listeners, save

    def begin(self, app: AppRecord, operation: Operation) -> None:
        """Let a new generation start on trial."""
        now = clock.monotonic()
        app.spec, app.running, app.stopped_why = operation.spec, True, ""
        app.finished = False
        allot_ids(self._apps, app, app.spec.instances)
        app.last_generation += 1
        before = app.in_role(Role.SERVING)
        operation.generation = app.last_generation
        if before is not None:
            operation.old_generation = before.number
            operation.old_release = before.spec.release
        wanted = operation.spec
        generation = GenerationRecord(
            number=app.last_generation,
            spec=wanted,
            since=now,
            seats=[SeatRecord(ordinal) for ordinal in range(wanted.instances)],
            required=self._required(app, wanted, before),
            permit=Permit.NEEDED if operation.permit else Permit.NOT_NEEDED,
        )
        app.generations.append(generation)
        app.operation = operation
        if before is not None and self._is_recycled(app, operation, before):
            generation.lineage = before.lineage
            generation.served = before.served
            generation.sockets = set(before.sockets)
            generation.enter(Role.RECYCLING, now)
            before.enter(Role.YIELDING, now)
            operation.step("recycling", now, _warning(wanted))
        else:
            operation.step("starting", now, f"{wanted.instances} instances")
        self._save()

    def _is_recycled(
        self, app: AppRecord, operation: Operation, before: GenerationRecord
    ) -> bool:
        """Tell whether one instance ends before the next one starts in its place."""
        if operation.recycle or operation.spec.overlap is spec.Overlap.NEVER:
            return True
        listens = self._listeners.of(app.name, before.lineage)
        auto = operation.spec.overlap is spec.Overlap.AUTO
        return auto and not listens and not operation.spec.listen

    def resume(self, app: AppRecord) -> None:
        """Start an app again after its host or its keeper ended.

        There is nobody whom a failure would tell, so it is not on trial: what does not
        start is tried again, later and later, up to the app's limit.
        """
        app.last_generation += 1
        app.generations.append(
            GenerationRecord(
                number=app.last_generation,
                spec=app.spec,
                since=clock.monotonic(),
                role=Role.SERVING,
                served=True,
                seats=[SeatRecord(ordinal) for ordinal in range(app.spec.instances)],
                required=set(app.spec.listen),
            )
        )
        app.since = clock.wall()

    def _required(
        self, app: AppRecord, wanted: spec.AppSpec, before: GenerationRecord | None
    ) -> set[str]:
        """Return on which addresses every instance has to listen to be ready.

        A reload that listens on less than what serves now would take something away; a
        configuration that names its addresses, or asks only for `listening`, says that
        this is meant.
        """
        if wanted.listen:
            return set(wanted.listen)
        if before is None or wanted.ready.when is spec.When.LISTENING:
            return set()
        own = self._listeners.of(app.name, before.lineage)
        return {listener.address for listener in own if listener.listening}


def _warning(wanted: spec.AppSpec) -> str:
    """Return what a recycle means for users."""
    if wanted.instances == 1:
        return (
            "one instance: until it is back, requests wait or are answered 503, "
            "unless a balancer sends them elsewhere"
        )
    out = min(wanted.recycle.max_unavailable, wanted.instances)
    return f"{wanted.instances} instances, {out} at a time"
