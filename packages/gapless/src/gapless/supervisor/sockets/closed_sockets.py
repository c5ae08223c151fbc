"""Sockets of an instance on which it listens no more, since it has closed them.

Programs ask so whether a port is free: they bind it on one address after the other, and
close each socket again (detect-port, get-port, portfinder of npm).  Only gapless holds
such a socket still.

Rule 1: who binds an address of the port beside one that is closed is told what the kernel
would say without that one.
Rule 2: an address inside one that serves is bound out of the way (`steering.hide`), since
it may be such a question.  It is an answer if the program still has it a second later:
then it is refused by name (`decide.readiness`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from gapless.base import clock
from gapless.supervisor.decide.addresses import covers
from gapless.supervisor.decide.readiness import ASKED_S
from gapless.supervisor.memory.apps import AppRecord, Found
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.sockets.addresses import group_of, inode_of, narrower
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners

InodesOf = Callable[[AppRecord], AbstractSet[int]]
HeldBy = Callable[[InstanceRecord], AbstractSet[int]]


class ClosedSockets:
    """Finds the sockets of TCP that their instances have closed, and lets them go."""

    def __init__(
        self, listeners: Listeners, inodes_of: InodesOf, held_by: HeldBy
    ) -> None:
        """Of the sockets, *inodes_of* has those of an app, *held_by* of an instance."""
        self._listeners, self._inodes_of = listeners, inodes_of
        self._held_by = held_by

    def beside(
        self, found: Found, host: str, port: int, sock: socket.socket
    ) -> list[str]:
        """Return which sockets of a port an instance does not hold, by name.

        It is to have *sock* there.  What it has made itself, and nobody misses, is
        let go.
        """
        app, generation, instance = found
        group = group_of(host, port, sock)
        own = [
            each
            for each in self._listeners.of(app.name, generation.sockets_of)
            if each.tcp_port == port and not (each.shut or each.leaving)
        ]
        if all(each.group == group for each in own):
            return []
        held = self._held_by(instance)
        if not held:
            return []  # its processes cannot be looked into
        closed = [each for each in own if inode_of(each.sock) not in held]
        self._let_go(found, closed)
        return [each.name for each in closed]

    def _let_go(self, found: Found, closed: list[Listener]) -> None:
        """Let those sockets go that an instance has made, and nobody misses."""
        app, generation, instance = found
        missed = generation.required | generation.seats[instance.ordinal].expected
        own = [e for e in closed if e.made_by == instance.key]
        for each in own:
            if each.address in missed or inode_of(each.sock) in self._inodes_of(app):
                continue  # or another instance has it
            self._listeners.leave(each)
            for other in generation.instances:
                other.bound.discard(each.address)
                other.listens.discard(each.address)
                other.covers -= {e for e in other.covers if covers(each.group, e)}

    def note_narrow(
        self, app: AppRecord, instance: InstanceRecord, listener: Listener
    ) -> None:
        """Note that an instance has an address inside the one that serves."""
        error = narrower(app.name, listener.address, listener.part_of)
        instance.narrow = f"{error.message}. {error.hint}"
        instance.narrow_kept = False
        self.look_later(instance)

    def look_later(self, instance: InstanceRecord) -> None:
        """See later whether an instance still has what it has bound."""
        instance.look_at = clock.monotonic() + ASKED_S

    def look(
        self, app: AppRecord, generation: GenerationRecord, instance: InstanceRecord
    ) -> None:
        """See whether an instance still has what it has bound."""
        instance.look_at = None
        held = self._held_by(instance)
        own = [
            each
            for each in self._listeners.of(app.name, generation.sockets_of)
            if each.tcp_port is not None and not (each.shut or each.leaving)
        ]
        if held:
            closed = [each for each in own if inode_of(each.sock) not in held]
            self._let_go((app, generation, instance), closed)
            own = [each for each in own if not each.leaving]
        instance.narrow_kept = any(each.part_of for each in own)
        if not instance.narrow_kept:
            instance.narrow = ""
