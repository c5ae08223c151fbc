"""Keep up who accepts from which socket: those where nobody does get no new connections.

That is for the sockets of seats, and for those of apps that share an address.  Sources of
new connections go back to a seat when its next instance listens.  Nothing is decided here:
which instances there are is known, and all else follows.
"""

from __future__ import annotations

from typing import Protocol

from gapless.supervisor.kernel import queues
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Mode, Role
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners

SERVES = {Role.PROVING, Role.SERVING, Role.RECYCLING, Role.YIELDING}
"""The roles of generations that have the new connections of their app."""


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


class SeatSockets:
    """Looks after the sockets of all apps whose seats have their own."""

    def __init__(self, listeners: Listeners, relays: Relays) -> None:
        self._listeners, self._relays = listeners, relays

    def update(self, app: AppRecord) -> None:
        """Note which seats are vacant, and close the sockets of those that are no more.

        Raises OSError.
        """
        every = [
            each
            for each in self._listeners.of_app(app.name)
            if each.listening and not each.leaving
        ]
        for each in every:
            if each.shared_as:
                self._share(app, each)
        own = [each for each in every if each.seat is not None]
        if not own:
            return
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

    def _share(self, app: AppRecord, listener: Listener) -> None:
        """Let an app have its part of an address, or others have it all."""
        groups, count = self._listeners.groups, _accepting(app, listener)
        groups.set_accepting(listener, count)
        roles = {each.role for each in _users(app, listener)}
        if roles & SERVES and app.name not in groups.leads.of(listener.group):
            groups.steer(listener)  # it was switched to before it listened here
        if count or not groups.leads.are_left_to_others(listener):
            return
        if waiting := queues.queued(listener.sock):
            self._relay(app, _users(app, listener), listener, waiting)

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
