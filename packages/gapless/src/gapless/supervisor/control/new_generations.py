"""How a new generation begins: by a request, or after the host came back."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.base.outside.text import counted
from gapless.supervisor.decide.addresses import BY_SIGNAL, dropped, expected, said_by
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import SeatRecord, is_multicast
from gapless.supervisor.memory.model import Permit, Phase, Role
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.state import StateFile
from gapless.supervisor.observe.app_order import AppOrder
from gapless.supervisor.observe.variables import file_variables
from gapless.supervisor.sockets.addresses import inode_of
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners


class NewGenerations:
    """Makes the records of new generations."""

    def __init__(
        self,
        apps: Apps,
        listeners: Listeners,
        state: StateFile,
        app_order: AppOrder,
        inodes_of: Callable[[AppRecord], AbstractSet[int]],
    ) -> None:
        self._inodes_of = inodes_of
        self._apps, self._listeners, self._state = apps, listeners, state
        self._app_order = app_order

    def begin(self, app: AppRecord, operation: Operation) -> None:
        """Let a new generation start on trial."""
        now = clock.monotonic()
        if operation.keeps:
            operation.spec = _kept(app, operation)
        wanted = operation.spec
        app.spec, app.running, app.stop_reason = wanted, True, ""
        app.finished = False
        self._apps.allot_ids(app, wanted.instances)
        app.last_generation += 1
        before = app.in_role(Role.SERVING)
        if operation.action == "scale" and before is not None:
            operation.ids_before = list(app.ids)
            self._apps.keep_newest_ids(app, len(before.seats), wanted.instances)
        operation.generation = app.last_generation
        if before is not None:
            operation.old_generation = before.number
            operation.old_release = before.spec.release
        generation = GenerationRecord(
            number=app.last_generation,
            spec=wanted,
            since=now,
            follows=0 if before is None else before.number,
            required=set(wanted.listen),
            permit=Permit.NEEDED if operation.permit else Permit.NOT_NEEDED,
        )
        _read_files(generation)
        generation.seats = self._seats(app, generation, before, operation.drops)
        app.generations.append(generation)
        app.operation = operation
        if before is not None and self.is_recycled(app, operation, before):
            generation.sockets_of = before.sockets_of
            generation.served = before.served
            generation.sockets = set(before.sockets)
            generation.enter(Role.RECYCLING, now)
            before.enter(Role.YIELDING, now)
            operation.step("recycling", now, _warning(wanted, before))
        self._app_order.begin(app, generation)
        if generation.reads_files:
            operation.step("waiting", now, "for its environment files")
        if generation.role is Role.TRIAL and not generation.held:
            operation.step("starting", now, counted(wanted.instances, "instance"))
        self._state.save()

    def is_recycled(
        self, app: AppRecord, operation: Operation, before: GenerationRecord
    ) -> bool:
        """Return whether each instance ends before the next one starts in its place."""
        if operation.recycle or operation.spec.overlap is spec.Overlap.NEVER:
            return True
        listens = self._listeners.of(app.name, before.sockets_of)
        auto = operation.spec.overlap is spec.Overlap.AUTO
        if auto and _bound_by(before, is_multicast):
            return True  # each of two generations would get every datagram
        return auto and not listens and not operation.spec.listen

    def read_on(self, app: AppRecord) -> None:
        """Ask for the environment files that are still read."""
        for generation in app.generations:
            if not generation.awaits_files:
                continue
            if generation.role is Role.RETIRING:
                file_variables.give_up(generation)
                continue
            _read_files(generation)
            operation = app.operation
            begins = operation is not None and operation.generation == generation.number
            if operation is None or not begins or generation.instances:
                continue
            if generation.file_variables is None:
                continue
            generation.enter(generation.role, clock.monotonic())
            for before in app.generations:
                if before.number == generation.follows:
                    # What they hold says where it is expected to listen.
                    generation.seats = self._seats(
                        app, generation, before, operation.drops
                    )

    def resume(self, app: AppRecord) -> None:
        """Start an app again after its host or its keeper ended.

        No client waits for it, so it is not on trial: what does not start is tried again,
        after longer and longer delays, up to the app's limit.  Of several apps, all are
        resumed before any is put in order.
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
        app.serves_since = clock.monotonic()

    def put_in_order(self, app: AppRecord) -> None:
        """Let an app that was resumed wait for those that it is after."""
        self._app_order.begin(app, app.generations[-1])

    def _seats(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        before: GenerationRecord | None,
        drops: Collection[str],
    ) -> list[SeatRecord]:
        """Return the seats of a generation, and where each is expected to listen."""
        wanted = file_variables.as_configured(generation)
        restarts = (
            {} if before is None else {s.ordinal: s.restarts for s in before.seats}
        )
        seats = [
            SeatRecord(ordinal, restarts=restarts.get(ordinal, 0))
            for ordinal in range(wanted.instances)
        ]
        if before is None:
            return seats
        own = self._listeners.of(app.name, before.sockets_of)
        own = self._still_open(app, own)
        listening = {each.address for each in own if each.listening and not each.shut}
        now = file_variables.as_configured(before)
        leaves = dropped(now, wanted, listening, drops)
        said = {
            a
            for a in listening
            if said_by((*wanted.drops, *drops), a) or leaves.get(a) == BY_SIGNAL
        }
        listens = {
            instance.ordinal: instance.listens
            for instance in before.instances
            if instance.phase is Phase.READY and instance.listens
        }
        for seat in seats:
            own_before = expected(seat.ordinal, listens, listening, leaves)
            seat.expected = {_moved(e, before.spec, wanted) for e in own_before}
            seat.listened = bool(listening - said)
        return seats

    def _still_open(self, app: AppRecord, own: list[Listener]) -> list[Listener]:
        """Return the sockets without those by name that the program has closed.

        Only gapless holds them still, and nobody misses them.
        """
        if not any(each.place is not None or each.datagrams for each in own):
            return own
        inodes = self._inodes_of(app)
        by_name = {e.name for e in own if e.place is not None or e.datagrams}
        closed = {e.name for e in own if inode_of(e.sock) not in inodes} & by_name
        # Where none can be seen at all, the processes cannot be looked into.
        return [each for each in own if not inodes or each.name not in closed]


def _read_files(generation: GenerationRecord) -> None:
    """Read environment files; the first start says what is wrong with them."""
    with contextlib.suppress(GaplessError):
        file_variables.of_generation(generation)


def _kept(app: AppRecord, operation: Operation) -> spec.AppSpec:
    """Return the configuration that serves now; one asked for before may have failed."""
    serves = app.spec_that_serves()
    if operation.action != "scale":
        return serves
    return dataclasses.replace(serves, instances=operation.spec.instances)


def _bound_by(generation: GenerationRecord, wanted: Callable[[str], bool]) -> list[str]:
    bound = {each for instance in generation.instances for each in instance.bound}
    return sorted(filter(wanted, bound))


def _moved(address: str, before: spec.AppSpec, wanted: spec.AppSpec) -> str:
    """Return where a path inside the directory of a release is in the next release."""
    inside = f"unix:{before.directory.rstrip('/')}/"
    if not address.startswith(inside):
        return address
    return f"unix:{wanted.directory.rstrip('/')}/{address.removeprefix(inside)}"


def _warning(wanted: spec.AppSpec, before: GenerationRecord) -> str:
    """Return what a recycle means for users."""
    names = _bound_by(before, lambda each: each.startswith("unix:@"))
    if names:
        named = ", ".join(names).replace("unix:", "")
        return (
            f"{named}: abstract names cannot be handed over; "
            f"connections are refused until the next instance listens"
        )
    if wanted.instances == 1:
        return (
            "one instance: until it is back, requests wait or are answered 503, "
            "unless a balancer sends them elsewhere"
        )
    out = min(wanted.recycle.max_unavailable, wanted.instances)
    return f"{wanted.instances} instances, {out} at a time"
