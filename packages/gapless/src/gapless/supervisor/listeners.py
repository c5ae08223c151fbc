"""Listening sockets: one per generation and address, grouped by address.

Rule 1: the first instance of a generation that binds an address gives its own socket:
we bind it, so every option that the program set is kept.  The others get the same one.
Rule 2: a socket joins its group when it listens; before that, the group is told to go on
sending new connections where they go.
Rule 3: a socket that leaves may move another one: the group is steered again at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass

from gapless.base.errors import GaplessError
from gapless.supervisor import connections, processes, steering
from gapless.supervisor.hands import Hands

BACKLOG = 65535
"""Cut by the kernel to net.core.somaxconn (listen(2))."""


class RefusedError(GaplessError):
    """An address cannot be bound; `number` is the errno that the program gets."""

    def __init__(self, number: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number


@dataclass(slots=True)
class Listener:
    """One listening socket of one generation."""

    name: str
    app: str
    generation: int
    address: str
    """`host:port`, as people write it."""
    group: str
    sock: socket.socket
    listening: bool = False
    leaving: bool = False
    shut: bool = False
    """Whether it is there only to begin no connection: see `quiesce`."""

    @property
    def port(self) -> int:
        """The port."""
        return int(self.address.rpartition(":")[2])


def address_text(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Listeners:
    """All listening sockets of this host's apps."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.by_name: dict[str, Listener] = {}
        self.groups: dict[str, steering.Group] = {}
        self.steered: dict[str, str] = {}
        """Which socket of a group takes the new connections."""

    # --- sockets come -----------------------------------------------------------

    def bind(
        self, app: str, generation: int, host: str, port: int, sock: socket.socket
    ) -> str:
        """Bind an instance's own socket, or find the one to put in its place.

        Returns "" if *sock* is bound now, else the name of the socket to inject.
        Raises RefusedError.
        """
        only = ""
        if sock.family == socket.AF_INET6:
            option = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            only = " v6only" if option else ""
        group = f"{address_text(host, port)}{only}"
        found = self.find(app, generation, group)
        if found is not None:
            same = os.fstat(found.sock.fileno()).st_ino == _inode(sock)
            return "" if same else found.name
        holders = {each.app for each in self.by_name.values() if each.group == group}
        if holders - {app}:
            other = ", ".join(sorted(holders - {app}))
            raise RefusedError(
                errno.EADDRINUSE, f"{app}: {group} belongs to the app {other}"
            )
        if not holders:
            _refuse_stranger(app, host, port, sock)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, port))
        except OSError as error:
            raise _refusal(app, host, port, error) from error
        name = f"socket/{app}/{generation}/{group}"
        copy = _copy(sock)
        listener = Listener(
            name, app, generation, address_text(host, port), group, copy
        )
        self.by_name[name] = listener
        self._hold(listener)
        return ""

    def open(self, app: str, generation: int, address: str) -> Listener:
        """Make a socket that listens, for a program that is handed descriptors.

        Raises RefusedError.
        """
        host, _, port = address.rpartition(":")
        host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - what ":80" asks for
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.bind(app, generation, host, int(port), sock)
            found = self.by_inode(app, generation, sock)
        if found is None:
            raise RefusedError(errno.EADDRINUSE, f"{app}: {address} is bound twice")
        self.listen(found)
        return found

    def listen(self, listener: Listener) -> None:
        """Let a bound socket join its group; it takes no connection before `steer`."""
        if listener.listening:
            return
        group = self.groups.get(listener.group, steering.Group(()))
        if group.order:
            self._attach(listener.group)
        listener.sock.listen(BACKLOG)
        listener.listening = True
        self.groups[listener.group] = group.joined(listener.name)
        self.steered.setdefault(listener.group, listener.name)
        self._hold(listener)
        self._note(listener.group)

    def by_inode(
        self, app: str, generation: int, sock: socket.socket
    ) -> Listener | None:
        """Return which of a generation's sockets *sock* is."""
        inode = _inode(sock)
        for listener in self.of(app, generation):
            if _inode(listener.sock) == inode:
                return listener
        return None

    def find(self, app: str, generation: int, group: str) -> Listener | None:
        """Return a generation's socket in a group."""
        for listener in self.of(app, generation):
            if listener.group == group and not listener.shut:
                return listener
        return None

    def of(self, app: str, generation: int) -> list[Listener]:
        """Return the sockets of a generation."""
        return [
            listener
            for listener in self.by_name.values()
            if listener.app == app and listener.generation == generation
        ]

    # --- new connections move ---------------------------------------------------

    def steer(self, app: str, generation: int) -> None:
        """Send every new connection to a generation, on each address that it holds."""
        for listener in self.of(app, generation):
            if listener.listening and not listener.shut:
                self.steered[listener.group] = listener.name
                self._attach(listener.group)
                self._note(listener.group)

    def quiesce(self, app: str, generation: int) -> None:
        """Let no new connection begin where nobody follows a generation.

        New connections are steered to a socket that hears no SYN; handshakes under way
        complete, and what is queued can be accepted.  Raises OSError.
        """
        for listener in self.of(app, generation):
            if not listener.listening or listener.shut or not self.is_alone(listener):
                continue
            host, _, port = listener.address.rpartition(":")
            with socket.socket(listener.sock.family, socket.SOCK_STREAM) as sock:
                _copy_v6only(listener.sock, sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                steering.hear_no_syn(sock)
                sock.bind((host.strip("[]"), int(port)))
                shut = Listener(
                    f"{listener.name} shut",
                    app,
                    generation,
                    listener.address,
                    listener.group,
                    _copy(sock),
                    shut=True,
                )
            self.by_name[shut.name] = shut
            self.listen(shut)
            self.steered[shut.group] = shut.name
            self._attach(shut.group)
            self._note(shut.group)

    def resume(self, app: str, generation: int) -> None:
        """End what `quiesce` began: new connections come to the sockets again."""
        self.steer(app, generation)
        for listener in self.of(app, generation):
            if listener.shut and not listener.leaving:
                self.leave(listener)

    def is_alone(self, listener: Listener) -> bool:
        """Tell whether new connections of an address still come to this socket."""
        return self.steered.get(listener.group) == listener.name

    def attach_probe(self, listener: Listener, host: str, port: int) -> None:
        """Send connections from one source address and port to one socket."""
        group = self.groups[listener.group]
        probe = steering.Probe(host, port, group.index(listener.name))
        self._attach(listener.group, probe)

    def detach_probe(self, listener: Listener) -> None:
        """End what `attach_probe` began."""
        if self.groups.get(listener.group):
            self._attach(listener.group)

    def _attach(self, group: str, probe: steering.Probe | None = None) -> None:
        order = self.groups[group]
        target = self.steered[group]
        if target in self.by_name and target in order.order:
            program = steering.steer_to(order.index(target), probe)
            steering.attach(self.by_name[target].sock, program)

    # --- sockets go -------------------------------------------------------------

    def leave(self, listener: Listener) -> None:
        """Begin to close a socket: the keeper first, we when it has."""
        listener.leaving = True
        self.hands.release(listener.name)

    def left(self, name: str) -> None:
        """Take a socket out of its group, and steer the others again.

        Somebody may hold a copy still: a process between fork and exec, or one that got
        away from its instance.  So it is not only closed: `shutdown` ends its listening
        whoever holds it (tcp_disconnect in the kernel).
        """
        listener = self.by_name.pop(name, None)
        if listener is None:
            return
        with contextlib.suppress(OSError):  # it was bound and never listened
            listener.sock.shutdown(socket.SHUT_RD)
        listener.sock.close()
        group = listener.group
        order = self.groups.get(group)
        if order is None or name not in order.order:
            return
        self.groups[group] = order.left(name)
        if self.groups[group].order:
            self._attach(group)
        else:
            del self.groups[group]
            del self.steered[group]
        self._note(group)

    # --- what outlives us -------------------------------------------------------

    def _hold(self, listener: Listener) -> None:
        meta = {
            "app": listener.app,
            "generation": listener.generation,
            "address": listener.address,
            "group": listener.group,
            "shut": listener.shut,
        }
        self.hands.hold(listener.name, meta, listener.sock.fileno())

    def _note(self, group: str) -> None:
        order = self.groups.get(group)
        value = None
        if order is not None:
            value = {"order": list(order.order), "steered": self.steered[group]}
        self.hands.note(f"group/{group}", value)

    def adopt(self, name: str, meta: dict[str, object], descriptor: int) -> None:
        """Take over a socket that the keeper held while no supervisor was there."""
        sock = socket.socket(fileno=descriptor)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        self.by_name[name] = Listener(
            name,
            str(meta["app"]),
            int(str(meta["generation"])),
            str(meta["address"]),
            str(meta["group"]),
            sock,
            listening=bool(listening),
            shut=bool(meta["shut"]),
        )

    def adopt_groups(self, notes: dict[str, dict[str, object]]) -> None:
        """Restore the order of the groups, and steer them again.

        A supervisor may have died between a join or a leave and its note: a socket that
        listens and is not in the order joined last; one that is in the order and is not
        held any more has left.
        """
        for listener in self.by_name.values():
            note = notes.get(listener.group, {})
            recorded = note.get("order", [])
            if listener.group not in self.groups and isinstance(recorded, list):
                group = steering.Group(tuple(recorded))
                for name in recorded:
                    if name not in self.by_name:
                        group = group.left(name)
                self.groups[listener.group] = group
                self.steered[listener.group] = str(note.get("steered", listener.name))
            group = self.groups[listener.group]
            if listener.listening and listener.name not in group.order:
                self.groups[listener.group] = group.joined(listener.name)
        for name, group in self.groups.items():
            if group.order:
                if self.steered[name] not in group.order:
                    self.steered[name] = group.order[-1]
                self._attach(name)


def _inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def _refuse_stranger(app: str, host: str, port: int, sock: socket.socket) -> None:
    """Refuse an address that somebody else holds.

    A stranger in the SO_REUSEPORT group would take a share of the connections.  So the
    address is bound once as a program without SO_REUSEPORT would (socket(7)).
    """
    with socket.socket(sock.family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _copy_v6only(sock, trial)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise _refusal(app, host, port, error) from error


def _copy_v6only(one: socket.socket, other: socket.socket) -> None:
    if one.family == socket.AF_INET6:
        only = one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)


def _refusal(app: str, host: str, port: int, error: OSError) -> RefusedError:
    number = error.errno or errno.EINVAL
    where = address_text(host, port)
    hint = ""
    reason = os.strerror(number).lower()
    if number == errno.EADDRINUSE:
        who = _holder(port)
        reason = f"the port is held by {who}" if who else "somebody else holds the port"
        hint = "stop that program, or give the app another port"
    elif number == errno.EACCES:
        hint = (
            "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE: "
            "run the supervisor with AmbientCapabilities=CAP_NET_BIND_SERVICE"
        )
    return RefusedError(number, f"{app}: could not bind {where}: {reason}", hint)


def _holder(port: int) -> str:
    for stranger in connections.listeners(port):
        found = processes.holder_of(stranger.inode)
        if found is not None:
            return f"{found[1]} (pid {found[0]})"
    return ""


def _copy(sock: socket.socket) -> socket.socket:
    """Return another descriptor of the same socket.

    Not `sock.dup()`: that makes the socket blocking, for everybody who holds it, and of
    two programs that wake for one connection the second would hang in accept.
    """
    return socket.socket(fileno=os.dup(sock.fileno()))
