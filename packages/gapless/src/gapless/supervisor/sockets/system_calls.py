"""Answer the system calls that instances wait in, bind and listen above all.

They are notifications of seccomp (seccomp_unotify(2)).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet

from gapless.base import clock, events, wire
from gapless.keeper.seccomp import privileges
from gapless.supervisor.decide.addresses import covers
from gapless.supervisor.memory.apps import AppRecord, Apps, Found
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Role
from gapless.supervisor.sockets.addresses import (
    RefusedError,
    address_text,
    low_port_refusal,
    shown,
)
from gapless.supervisor.sockets.closed_sockets import ClosedSockets
from gapless.supervisor.sockets.connect_calls import ConnectCalls
from gapless.supervisor.sockets.datagram_calls import DatagramCalls
from gapless.supervisor.sockets.first_binds import is_known
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.path_calls import PathCalls
from gapless.supervisor.sockets.seats import seat_for

MOST_ADDRESSES = 256
"""Of a generation; what a program binds beyond is not handed over."""
LostAddress = Callable[[AppRecord, GenerationRecord], None]


class SystemCalls:
    """Gives instances their sockets, and notes on which addresses they listen."""

    def __init__(
        self,
        apps: Apps,
        keeper: KeeperConnection,
        listeners: Listeners,
        saw: Callable[[InstanceRecord, int], None],
        *,
        log: events.Log,
        lost_address: LostAddress,
        inodes_of: Callable[[AppRecord], AbstractSet[int]],
        closed: ClosedSockets,
    ) -> None:
        """Tell *saw* which process of an instance waits.

        *inodes_of* returns those of all sockets that the processes of an app hold.
        *lost_address* is called when new connections leave a generation.
        """
        self._lost_address = lost_address
        self._apps, self._keeper, self._saw = apps, keeper, saw
        self._listeners, self._log = listeners, log
        self.paths = PathCalls(apps, keeper, listeners)
        self.connects = ConnectCalls(apps, keeper, listeners, self.paths)
        self._closed = closed
        self._datagrams = DatagramCalls(listeners, inodes_of)

    def bind(self, message: wire.Message, descriptors: list[int]) -> None:
        """Let an instance have the address that it wants to bind."""
        key, call = message["key"], message["id"]
        found = self._find(key, call)
        if found is None:
            return
        _, generation, instance = found
        self._saw(instance, message.get("pid", 0))
        with socket.socket(fileno=descriptors.pop(0)) as sock:
            try:
                held = self._bind(found, message, sock)
            except RefusedError as error:
                self.refuse(key, f"{error.message}. {error.hint}".strip(" ."))
                self._keeper.answer(key, call, "fail", errno=error.number)
                return
        if held is None:
            self._keeper.answer(key, call, "proceed")
        elif held:
            shared = self._listeners.by_name[held]
            if shared.listening:
                # A program that checks SO_ACCEPTCONN will not call listen again.
                note_listening(generation, instance, shared)
            self._keeper.answer(key, call, "inject", held=held)
        else:
            self._keeper.answer(key, call, "done")

    def _bind(
        self, found: Found, message: wire.Message, sock: socket.socket
    ) -> str | None:
        """Return the name of a socket to inject, "" if none is to be, None to proceed.

        Raises RefusedError.
        """
        app, generation, instance = found
        number = generation.sockets_of
        if "path" in message:
            return self.paths.bind(found, message, sock)
        host, port = message["host"], message["port"]
        if not may_bind(message, generation.spec.listen):
            # The kernel decides: EACCES, or a network namespace of the program's own.
            self.refuse(message["key"], low_port_refusal(app.name, port))
            return None
        if message.get("kind") == "udp":
            held = self._datagrams.bind(found, host, port, sock)
            address = shown(host, port, sock)
            for listener in self._listeners.of(app.name, number):
                mine = listener.address == address and not listener.leaving
                if mine and held is not None:
                    self._began(found, listener)
            return held
        own = {each.group for each in self._listeners.of(app.name, number)}
        if len(own) >= MOST_ADDRESSES and not is_known(
            found, self._listeners, shown(host, port, sock)
        ):
            return None  # it makes them up: each costs descriptors of us all
        seat = seat_for(self._listeners, app.name, generation, instance.ordinal)
        held = self._listeners.bind(
            *(app.name, number, host, port, sock),
            seat=seat,
            by=instance.key,
            closed=self._closed.beside(found, host, port, sock),
            shared_as=generation.spec.share_ports,
        )
        instance.has_bound(address_text(host, port))
        bound = self._listeners.by_name.get(held)
        bound = bound or self._listeners.by_inode(app.name, number, sock)
        if bound is not None and bound.part_of:
            self._closed.note_narrow(app, instance, bound)
        return held

    def listen(self, message: wire.Message, descriptors: list[int]) -> None:
        """Let the socket of an instance join its group."""
        key, call = message["key"], message["id"]
        found = self._find(key, call)
        if found is None:
            return
        app, generation, instance = found
        instance.answered_at = clock.monotonic()
        with socket.socket(fileno=descriptors.pop(0)) as sock:
            listener = self._listeners.by_inode(app.name, generation.sockets_of, sock)
        if listener is None:
            self._keeper.answer(key, call, "proceed")
            return
        try:
            self._listeners.listen(listener)
        except OSError as error:
            # Two programs may both bind; the second to listen is refused (listen(2)).
            self.refuse(key, f"could not listen on {listener.address}: {error}")
            self._keeper.answer(key, call, "fail", errno=error.errno)
            return
        if not listener.part_of:
            self._began(found, listener)
        # The kernel keeps, for those who connect to a path, who has called listen there.
        by_kernel = listener.place is not None
        self._keeper.answer(key, call, "proceed" if by_kernel else "done")

    def _began(self, found: Found, listener: Listener) -> None:
        """Note that an instance takes what comes to an address, once it may."""
        app, generation, instance = found
        groups = self._listeners.groups
        roles = {Role.PROVING, Role.SERVING}
        if listener.shared_as and app.name not in groups.leads.of(listener.group):
            roles.add(Role.RECYCLING)  # its sockets serve already
        if generation.role in roles and not groups.has_its_part(listener):
            # Its other addresses were switched to it before it listened on this one.
            before = self._listeners.steer_one(listener)
            if before != listener.generation:
                self._note_handshakes(app, before)
        generation.served |= groups.takes_connections(listener)
        generation.sockets.add(listener.name)
        expected = generation.seats[instance.ordinal].expected
        if any(covers(listener.group, e) for e in expected - {listener.address}):
            self._closed.look_later(instance)  # it may ask, and close it again
        for each in generation.instances:
            # A program that checks SO_ACCEPTCONN calls listen only if no other has.
            its = (
                listener.seat in (None, each.ordinal) and listener.address in each.bound
            )
            if each is instance or its:
                note_listening(generation, each, listener)

    def _note_handshakes(self, app: AppRecord, number: int) -> None:
        """Let a generation wait for the handshakes that began at its socket."""
        for generation in app.generations:
            if generation.sockets_of == number:
                self._lost_address(app, generation)

    def withdrawn(self, message: wire.Message) -> None:
        """Keep that a call went on without an answer, while this process was stopped."""
        key, call = message["key"], message["id"]
        self._keeper.answer(key, call, "proceed")  # from now on calls are sent again
        if message.get("call") in ("bind", "listen"):
            self.refuse(
                key,
                f"the supervisor was stopped or busy, and did not answer its "
                f"{message['call']}: what it listens on since is its own",
            )

    def _find(self, key: str, call: int) -> Found | None:
        """Return which instance made a call; one of an unknown instance proceeds."""
        found = self._apps.find(key)
        if found is None:
            self._keeper.answer(key, call, "proceed")
        return found

    def refuse(self, key: str, reason: str) -> None:
        """Keep why a system call was refused, for the report of the exit that follows."""
        self._log.write("call-refused", key=key, reason=reason)
        found = self._apps.find(key)
        if found is not None:
            found[2].refusal = reason


def may_bind(message: wire.Message, configured: Collection[str]) -> bool:
    """Return whether a program may have a port: by the kernel, or by its configuration.

    The supervisor binds in its place; its own rights are no reason.
    """
    port = int(message["port"])
    listed = {address.rpartition(":")[2] for address in configured}
    allowed = message.get("may_bind")
    if allowed is None:  # a keeper of an older version
        allowed = privileges.may_bind(int(message.get("pid", 0)), port)
    return bool(allowed) or str(port) in listed


def note_listening(
    generation: GenerationRecord, instance: InstanceRecord, listener: Listener
) -> None:
    """Note that an instance listens on an address, and which narrower ones that covers."""
    if listener.address in instance.listens:
        return
    instance.listens.add(listener.address)
    instance.listened_at = clock.monotonic()
    seat = generation.seats[instance.ordinal]
    instance.covers |= {
        address
        for address in seat.expected | generation.required
        if covers(listener.group, address)
    }
