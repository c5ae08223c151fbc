"""What is done to instances: mark them ready, tell them to drain, stop and kill them."""

from __future__ import annotations

import signal

from gapless.base import clock
from gapless.supervisor.act.signals import (
    kill_members,
    signal_leader,
    signal_members,
)
from gapless.supervisor.instances import notify
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Mode, Phase, Role
from gapless.supervisor.observe.evidence import Evidence
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.closed_sockets import ClosedSockets


class InstanceActions:
    """Acts on single instances."""

    def __init__(
        self,
        evidence: Evidence,
        membership: Membership,
        notify_sockets: NotifySockets,
        drain_connections: DrainConnections,
        closed_sockets: ClosedSockets,
    ) -> None:
        self._evidence, self._membership = evidence, membership
        self._notify_sockets = notify_sockets
        self._drain_connections = drain_connections
        self._closed_sockets = closed_sockets

    def look_at_sockets(self, app: AppRecord) -> None:
        """See who still has what it has bound, where that may have been a question."""
        now = clock.monotonic()
        for generation in app.generations:
            for instance in generation.instances:
                if instance.look_at is not None and now >= instance.look_at:
                    self._closed_sockets.look(app, generation, instance)

    def mark_ready(self, app: AppRecord, key: str) -> None:
        """Count an instance as ready."""
        generation, instance = _found(app, key)
        instance.phase, instance.ready_at = Phase.READY, clock.monotonic()
        ready = sum(i.phase is Phase.READY for i in generation.instances)
        if generation.role is Role.RECYCLING:
            generation.since = instance.ready_at  # it is watched from the last one on
            app.step("ready", f"instance {instance.ordinal}")
        elif ready == len(generation.seats):
            app.step("ready", ", ".join(sorted(instance.listens)))

    def drain(self, app: AppRecord, key: str, mode: Mode) -> None:
        """Tell an instance what to do with new requests."""
        generation, instance = _found(app, key)
        instance.mode, instance.mode_since = mode, clock.monotonic()
        instance.idle_checks = 0
        if generation.role is Role.YIELDING:
            instance.calls = ()  # those that are there now are waited for from now on
        self._drain_connections.order(key, mode)
        if generation.role is Role.YIELDING and mode is Mode.RECYCLE:
            app.step("draining", f"instance {instance.ordinal}")
        self._evidence.update(app)

    def send_stop(self, app: AppRecord, key: str, reason: str) -> None:
        """Send an instance its stop signal, or the message that stands for it."""
        generation, instance = _found(app, key)
        if instance.stop_sent_at is None:
            instance.stop_sent_at, instance.stop_reason = clock.monotonic(), reason
        instance.phase = Phase.DRAINING
        if app.operation is not None and not app.operation.took("stopping"):
            detail = ": ".join(filter(None, [reason, instance.under_way()]))
            app.step("stopping", f"generation {generation.number}: {detail}")
        stop = generation.spec.stop
        number = signal.Signals[stop.signal]
        if not instance.leader_alive:
            instance.orphans_signalled = True
            signal_members(self._membership, instance, number)
        elif not (stop.message and self._notify_sockets.send(key, notify.SHUTDOWN)):
            signal_leader(instance, number)

    def replace(self, app: AppRecord, key: str, reason: str) -> None:
        """Send an instance that hangs its stop signal; it has its seat no more."""
        generation, instance = _found(app, key)
        if not instance.hung:
            instance.hung = True
            seat = generation.seats[instance.ordinal]
            seat.short_lives = 0  # a successor has proved itself
            app.count_restart(seat, "liveness")
        self.send_stop(app, key, reason)

    def kill(
        self, app: AppRecord, key: str, reason: str, *, excludes: bool = False
    ) -> None:
        """Kill an instance, with every process of it unless the app says otherwise.

        *excludes*: no other of its generation gets a successor beside it.
        """
        generation, instance = _found(app, key)
        if excludes:
            generation.excludes = reason
        if instance.stop_sent_at is None:
            instance.stop_sent_at, instance.stop_reason = clock.monotonic(), reason
        again = instance.killed
        instance.killed, instance.phase = True, Phase.DRAINING
        instance.kill_sent_at = clock.monotonic()
        if not again:
            self._evidence.update(app, now=True)  # it says what is cut
        if generation.role is Role.SERVING and not instance.hung:
            generation.seats[instance.ordinal].exit_reason = reason
        signal_leader(instance, signal.SIGKILL)
        if generation.spec.stop.tree:
            kill_members(self._membership, instance)


def _found(app: AppRecord, key: str) -> tuple[GenerationRecord, InstanceRecord]:
    found = app.instance(key)
    if found is None:
        raise LookupError(f"{app.name} has no instance {key}")
    return found
