"""Keep up who accepts from which socket: those where nobody does get no new connections.

That is for the sockets of seats, and for those of apps that share an address.  Sources of
new connections go back to a seat when its next instance listens.  Nothing is decided here:
which instances there are is known, and all else follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gapless.supervisor.decide.ending import HANDSHAKE_S
from gapless.supervisor.kernel import queues
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Mode, Role
from gapless.supervisor.memory.spec import Affinity
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners


class Relays(Protocol):
    """Lets the connections that wait in the queue of a socket go on to others."""

    def is_running(self, app: AppRecord, generation: GenerationRecord) -> bool:
        """Return whether that is done for a generation."""

    def start(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        listener: Listener,
        quiet_s: float,
        *,
        by_source: bool = False,
        most: int = 0,
    ) -> None:
        """Begin it with those that wait, so many at *most*."""


def seat_for(
    listeners: Listeners, app: str, generation: GenerationRecord, ordinal: int
) -> int | None:
    """Return whose sockets of TCP an instance is given: of its seat, or None for all.

    A recycle goes on with the sockets that there are.
    """
    wanted = generation.spec.affinity is Affinity.ADDRESS
    if generation.sockets_of != generation.number:
        own = [
            each.seat is not None
            for each in listeners.of(app, generation.sockets_of)
            if each.tcp_port is not None and not (each.shut or each.leaving)
        ]
        wanted = any(own) if own else wanted
    return ordinal if wanted else None


class SeatSockets:
    """Looks after the sockets of all apps whose seats have their own."""

    def __init__(
        self, listeners: Listeners, relays: Relays, touch: Callable[[str], None]
    ) -> None:
        """Call *touch* with the names of other apps that are to be looked at."""
        self._listeners, self._relays, self._touch = listeners, relays, touch
        self._vacant_since: dict[str, float] = {}
        """Since when nobody accepts from a socket whose address apps share, by name."""

    def update(self, app: AppRecord, now: float) -> bool:
        """Note which seats are vacant, and close the sockets of those that are no more.

        Returns whether to look again soon.  Raises OSError.
        """
        every = [
            each
            for each in self._listeners.of_app(app.name)
            if each.listening and not each.leaving
        ]
        again = False
        for each in every:
            if each.shared_as:
                again |= self._share(app, each, now)
        own = [each for each in every if each.seat is not None]
        if not own:
            return again
        vacant = {each.name: not _accepting(app, each) for each in own}
        self._listeners.groups.set_vacant(vacant)
        for each in own:
            if not vacant[each.name] or not self._others_accept(each):
                continue
            users = _users(app, each)
            if waiting := queues.queued(each.sock):
                self._relay(app, users, each, waiting)
            elif users and all((each.seat or 0) >= len(g.seats) for g in users):
                self._listeners.leave(each)
        return again

    def _share(self, app: AppRecord, listener: Listener, now: float) -> bool:
        """Let an app have its part of an address, or others have it all.

        Returns whether handshakes that began before may still complete at its socket.
        """
        groups, count = self._listeners.groups, _accepting(app, listener)
        groups.set_accepting(listener, count)
        if count:
            self._vacant_since.pop(listener.name, None)
            self._call_others(listener)
        if count or listener.quiesced:
            return False
        if not groups.leads.are_left_to_others(listener):
            return False
        if listener.name not in self._vacant_since:
            known = self._listeners.by_name.keys()
            old = {n: at for n, at in self._vacant_since.items() if n in known}
            self._vacant_since = {**old, listener.name: now}
        if waiting := queues.queued(listener.sock):
            self._relay(app, _users(app, listener), listener, waiting)
        return now < self._vacant_since[listener.name] + HANDSHAKE_S

    def _call_others(self, listener: Listener) -> None:
        """Let the apps be looked at whose connections wait where nobody accepts.

        They can go on to this one.
        """
        groups = self._listeners.groups
        if not groups.has_its_part(listener):
            return
        for each in groups.leads.sockets(listener.group):
            vacant = not (each.accepting or each.quiesced) and each.app != listener.app
            if vacant and queues.queued(each.sock):
                self._touch(each.app)

    def _others_accept(self, listener: Listener) -> bool:
        takers = self._listeners.groups.takers(listener.group)
        return listener in takers and not all(each.vacant for each in takers)

    def _relay(
        self,
        app: AppRecord,
        users: list[GenerationRecord],
        listener: Listener,
        waiting: int,
    ) -> None:
        """Let others have the connections that wait where nobody accepts.

        Those are other seats, or other apps.
        """
        for generation in users:
            if self._relays.is_running(app, generation):
                return  # its end is an event, and this comes again
        for generation in users[-1:]:
            by_source = listener.seat is not None
            self._relays.start(
                app, generation, listener, 0.0, by_source=by_source, most=waiting
            )


def _users(app: AppRecord, listener: Listener) -> list[GenerationRecord]:
    """Return the generations that use a socket: two while one recycles the other."""
    return [each for each in app.generations if each.sockets_of == listener.generation]


def _accepting(app: AppRecord, listener: Listener) -> int:
    """Return how many instances accept from a socket."""
    return sum(
        _accepts(generation, instance, listener)
        for generation in _users(app, listener)
        for instance in generation.instances
    )


def _accepts(
    generation: GenerationRecord, instance: InstanceRecord, listener: Listener
) -> bool:
    yields = generation.role is Role.YIELDING and instance.mode is Mode.RECYCLE
    return (
        listener.seat in (None, instance.ordinal)
        and listener.address in instance.listens
        and instance.leader_alive
        and instance.stop_sent_at is None
        and not yields
    )
