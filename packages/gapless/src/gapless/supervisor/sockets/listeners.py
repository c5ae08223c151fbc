"""Listening sockets: one for each generation and address.

Rule 1: the first instance of a generation that binds an address gives its own socket: the
supervisor binds it, so every option that the program set is kept.  The other instances of
the generation get the same socket.  All get a TCP socket in place of a Multipath TCP one.
Rule 2: a socket is closed by the keeper first, and by the supervisor when that is done.
Rule 3: with `affinity` the sockets of TCP are of a seat each, and that of a seat lives on
while its instances change.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Collection, Iterator

from gapless.supervisor.decide.addresses import covers, overlap
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.sockets import parts, steering
from gapless.supervisor.sockets.addresses import (
    RefusedError,
    copy_of,
    give_owner,
    group_of,
    inode_of,
    is_bound_to,
    is_multipath,
    narrower,
    plain_tcp,
    refusal,
    refuse_others,
    refuse_stranger,
    share_address,
    shown,
    tcp_socket,
)
from gapless.supervisor.sockets.groups import Groups
from gapless.supervisor.sockets.listener import ByName, Listener, meta_of, with_meta
from gapless.supervisor.sockets.unix import place
from gapless.supervisor.sockets.unix.place import Place

BACKLOG = 65535
"""Cut by the kernel to net.core.somaxconn (listen(2))."""


class Listeners:
    """All listening sockets of this host's apps."""

    def __init__(self, keeper: KeeperConnection) -> None:
        self._keeper = keeper
        self.by_name = ByName()
        self.groups = Groups(keeper, self.by_name)
        self.placed: Callable[[Place], None] = lambda _: None
        """Called with where a new socket is: `watch_paths` looks after its names."""

    # --- sockets come -----------------------------------------------------------------

    def bind(
        self,
        app: str,
        generation: int,
        host: str,
        port: int,
        sock: socket.socket,
        *,
        seat: int | None = None,
        by: str = "",
        closed: Collection[str] = (),
        shared_as: str = "",
    ) -> str:
        """Bind an instance's own socket, or find the one to put in its place.

        The socket is that of a *seat*, or of all.  The instance *by* has *closed* those of
        its generation, or never had them: see `ClosedSockets`.  Other apps may have the
        address if theirs are *shared_as* the same word.  Returns "" if *sock* is bound
        now, else the name of the socket to inject.  Raises RefusedError.
        """
        address, group = shown(host, port, sock), group_of(host, port, sock)
        found = self.find(app, generation, group, seat)
        if found is not None:
            return "" if inode_of(found.sock) == inode_of(sock) else found.name
        whose = group if seat is None else f"{group} seat {seat}"
        name = self.new_name(app, generation, whose, sock)
        if is_multipath(sock):
            with plain_tcp(sock) as plain:
                self.bind(
                    *(app, generation, host, port, plain),
                    seat=seat,
                    by=by,
                    closed=closed,
                    shared_as=shared_as,
                )
                plain_one = self.by_inode(app, generation, plain)
            assert plain_one is not None
            return plain_one.name
        related = [e for e in self.by_name.values() if overlap(e.group, group)]
        if seat is not None or sock.type != socket.SOCK_STREAM:
            shared_as = ""
        parts.check(related, app, group, sock, shared_as)
        number = parts.number_at(port, self.by_name.values(), app, shared_as)
        wider = self._in_the_way(app, generation, group, closed)
        if wider is not None and not by:
            raise narrower(app, address, wider.address)
        if not is_bound_to(sock, host, port):
            # Else a supervisor died after it bound it and before the keeper held it.
            before = [
                e
                for e in related
                if (e.app, e.generation) != (app, generation)
                or e.leaving
                or e.seat != seat
                or e.name in closed
            ]
            if not before:
                refuse_stranger(app, host, port, sock)
            elif sock.type == socket.SOCK_STREAM and all(
                each.group != group for each in before
            ):
                own = {inode_of(each.sock) for each in self.by_name.values()}
                refuse_others(app, group, own)
            try:
                share_address(sock)
                for each in before:
                    give_owner(sock, each.sock)  # the app may have another user now
                if sock.type == socket.SOCK_DGRAM:
                    self.groups.prepare(group)  # it joins now
                sock.bind((host, port))
            except OSError as error:
                raise refusal(app, address, error) from error
        if wider is not None:
            steering.hide(sock)  # before it listens
        listener = Listener(
            name=name,
            app=app,
            generation=generation,
            address=address,
            group=group,
            sock=copy_of(sock),
            seat=seat,
            made_by=by,
            part_of="" if wider is None else wider.address,
            shared_as=shared_as,
            number=number,
        )
        self.add(listener)
        if listener.datagrams:
            self.listen(listener)
        return ""

    def add(self, listener: Listener) -> None:
        """Hold a socket that is bound."""
        self.by_name[listener.name] = listener
        self._hold(listener)
        if listener.place is not None:
            self.placed(listener.place)

    def open(
        self,
        app: str,
        generation: int,
        address: str,
        *,
        seat: int | None = None,
        shared_as: str = "",
        owner: int | None = None,
    ) -> Listener:
        """Make a socket that listens, for a program that is handed descriptors.

        It is of the user *owner*, or of the supervisor's.  Raises RefusedError.
        """
        host, _, port = address.rpartition(":")
        host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - what ":80" asks for
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with tcp_socket(family, owner) as sock:
            self.bind(
                *(app, generation, host, int(port), sock),
                seat=seat,
                shared_as=shared_as,
            )
            found = self.by_inode(app, generation, sock)
        if found is None:
            raise RefusedError(errno.EADDRINUSE, f"{app}: {address} is bound twice")
        self.listen(found)
        return found

    def listen(self, listener: Listener) -> None:
        """Let a bound socket join its group; it takes no connection before `steer`.

        Raises OSError.
        """
        if listener.listening:
            return
        if listener.part_of:
            listener.sock.listen(BACKLOG)  # it is in no group, and gets nothing
            return
        self.groups.join(listener, BACKLOG)
        self._hold(listener)
        self.groups.note(listener.group)
        self._release_parked(listener.group)

    def new_name(
        self, app: str, generation: int, group: str, sock: socket.socket
    ) -> str:
        """Return how a socket is to be called that a generation has bound."""
        name = f"socket/{app}/{generation}/{group}"
        # That of an earlier one, which the keeper may not have released yet.
        return f"{name} {inode_of(sock)}" if name in self.by_name else name

    # --- which there are --------------------------------------------------------------

    def by_inode(
        self, app: str, generation: int, sock: socket.socket
    ) -> Listener | None:
        """Return which of a generation's sockets *sock* is."""
        inode = inode_of(sock)
        for listener in self.of(app, generation):
            if inode_of(listener.sock) == inode:
                return listener
        return None

    def inodes(self, app: str, generation: int) -> set[int]:
        """Return the inodes of a generation's sockets."""
        return {inode_of(listener.sock) for listener in self.of(app, generation)}

    def find(
        self, app: str, generation: int, group: str, seat: int | None = None
    ) -> Listener | None:
        """Return a generation's socket in a group: that of a *seat*, or of all."""
        for listener in self.of(app, generation):
            there = not listener.shut and not listener.leaving
            if listener.group == group and there and listener.seat == seat:
                return listener
        return None

    def of(self, app: str, generation: int) -> list[Listener]:
        """Return the sockets of a generation."""
        return [e for e in self.by_name.of_app(app) if e.generation == generation]

    def of_app(self, app: str) -> list[Listener]:
        """Return the sockets of an app."""
        return self.by_name.of_app(app)

    def _wider(self, app: str, generation: int, group: str) -> Listener | None:
        """Return another generation's socket that takes the connections of a group too."""
        found = self._successors(app, generation, group)
        return next((each for each in found if each.group != group), None)

    def _in_the_way(
        self, app: str, generation: int, group: str, closed: Collection[str]
    ) -> Listener | None:
        """Return the socket from which one in a group would take connections.

        None if another one is in that group: it takes them already.
        """
        found = [
            each
            for each in self.of_app(app)
            if (each.generation != generation or each.name in closed)
            and self._serves(each)
            and covers(each.group, group)
        ]
        if any(each.group == group for each in found):
            return None
        return next(iter(found), None)

    def _successors(self, app: str, generation: int, group: str) -> Iterator[Listener]:
        """Yield the sockets of other generations that take the connections of a group."""
        for each in self.of_app(app):
            other = each.generation != generation
            if other and self._serves(each) and covers(each.group, group):
                yield each

    def _serves(self, listener: Listener) -> bool:
        takes = self.groups.takes_connections(listener)
        gone = listener.shut or listener.leaving or listener.quiesced
        there = listener.listening and not gone
        return there and takes and not steering.is_hidden(listener.sock)

    # --- new connections move ---------------------------------------------------------

    def steer_one(self, listener: Listener) -> int:
        """Send the new connections of an address to a socket, and undo `quiesce` there.

        Returns the generation that had them until now.
        """
        before = self.groups.lead_of(listener)
        self._steer(listener)
        self._release_parked(listener.group)
        for each in self.of_app(listener.app):
            if each.shut and each.group == listener.group and not each.leaving:
                self.leave(each)
        return before.generation if before is not None else listener.generation

    def drop(self, app: str, generation: int, kept: Collection[str]) -> None:
        """Close the sockets of a generation but those of some addresses."""
        for listener in self.of(app, generation):
            if listener.address not in kept and not listener.leaving:
                self.leave(listener)

    def has_successor(self, listener: Listener) -> bool:
        """Return whether another generation takes the connections of an address."""
        found = self._successors(listener.app, listener.generation, listener.group)
        return any(True for _ in found)

    def chooses_by_source(self, listener: Listener) -> bool:
        """Return whether source addresses choose who gets connections of an address now."""
        return any(e.seat is not None for e in self.groups.takers(listener.group))

    def steer(self, app: str, generation: int) -> None:
        """Send every new connection to a generation, on each address that it holds.

        Raises OSError, once all was tried.
        """
        failed: OSError | None = None
        moved = set()
        for listener in self.of(app, generation):
            waits = not listener.listening or listener.shut or listener.leaving
            if waits or (listener.seat is not None and listener.group in moved):
                continue  # the first of a group moves those of all seats
            try:
                self._steer(listener)
            except OSError as error:
                failed = failed or error
            moved.add(listener.group)
        for group in moved:
            self._release_parked(group)
        if failed is not None:
            raise failed

    def _steer(self, listener: Listener) -> None:
        """Send new connections of an address to a socket.  Raises OSError."""
        if listener.quiesced:
            listener.quiesced = False
            self._hold(listener)
        self.groups.steer(listener)

    def quiesce(self, app: str, generation: int, *, for_good: bool) -> bool:
        """Let no new connection begin where no other generation takes over.

        Returns whether those of a narrow address come to a wider one now.

        New connections are steered to a socket that drops every SYN, or to the other apps
        of the address; handshakes under way complete, and what is queued can be accepted.
        If it is *for_good*, a Unix-domain path is removed, and datagrams go to a socket
        that nobody reads; else both wait for the next instance.  Raises OSError.
        """
        moved = False
        for listener in self.of(app, generation):
            if not self._serves(listener):
                continue
            if listener.place is not None or listener.datagrams:
                if not for_good:
                    continue
                if listener.place is not None:
                    self.groups.hide(listener)
                    continue
            if self._wider(app, generation, listener.group) is None:
                self._leave_to_others(listener)
                continue
            moved = True
            for each in self.of_app(app):
                if each.group == listener.group and each.listening:
                    steering.hide(each.sock)
        return moved

    def _leave_to_others(self, listener: Listener) -> None:
        """Let the other apps of an address have its new connections, or nobody."""
        group, leads = listener.group, self.groups.leads
        if leads.are_left_to_others(listener):
            listener.quiesced = True
            self._hold(listener)
            self.groups.prepare(group)
            self.groups.note(group)
            return
        self._shut(listener)
        for each in leads.sockets(group):
            if each.quiesced and not each.leaving:
                self._shut(each)  # nobody is left to take its part

    def _shut(self, listener: Listener) -> None:
        shut = self.groups.closed_beside(listener)
        self.by_name[shut.name] = shut
        self.listen(shut)
        self.groups.steer(shut)

    def reopen(self, app: str, generation: int) -> None:
        """Undo a `quiesce` that was not noted: it will be decided again."""
        for listener in self.of(app, generation):
            if listener.leaving:
                continue
            if listener.place is not None and self._is_hidden(listener):
                with contextlib.suppress(OSError):  # as when it is adopted
                    self.groups.steer(listener)
            if not (listener.shut or listener.quiesced):
                continue
            if self.groups.takes_connections(listener):
                self.resume(app, generation)
            elif listener.shut:
                self.leave(listener)

    def _is_hidden(self, listener: Listener) -> bool:
        """Return whether a path was taken from a socket, and not for another app."""
        alone = all(
            each.app == listener.app
            for each in self.by_name.values()
            if each.group == listener.group
        )
        away = self.groups.hidden.get(listener.group) == listener.name
        return listener.listening and away and alone

    def resume(self, app: str, generation: int) -> None:
        """Undo `quiesce`: new connections come to the sockets again."""
        self.steer(app, generation)
        for listener in self.of(app, generation):
            if listener.shut and not listener.leaving:
                self.leave(listener)

    # --- sockets go -------------------------------------------------------------------

    def leave(self, listener: Listener) -> None:
        """Begin to close a socket: the keeper first, the supervisor when it has."""
        listener.leaving = True
        if listener.place is not None:
            self.groups.settle(listener)
            place.remove(listener.place)  # the keeper may end before it answers
        listener.parked = self.groups.has_to_wait(listener)
        if listener.shared_as:
            self.groups.prepare(listener.group)
        if listener.parked:
            self._hold(listener)  # whoever follows lets it go
        else:
            listener.released = True
            self._keeper.release(listener.name)
        self._release_parked(listener.group)

    def _release_parked(self, group: str) -> None:
        """Close the sockets of a group that were to leave, if they may now."""
        parked = [e for e in self.by_name.values() if e.parked and e.group == group]
        for listener in parked:
            if not self.groups.has_to_wait(listener):
                listener.parked, listener.released = False, True
                self._keeper.release(listener.name)

    def left(self, name: str) -> None:
        """Close a socket that the keeper has closed, and take it out of its group.

        Another process may still hold a copy: one between fork and exec, or one that has
        left its instance.  So the socket is not only closed: `shutdown` ends its listening
        whoever holds it (tcp_disconnect in the kernel).
        """
        listener = self.by_name.get(name)
        if listener is None:
            return
        if self.groups.must_stay(listener):  # another one joined meanwhile
            listener.parked, listener.released = True, False
            self._hold(listener)
            return
        self.by_name.take(name)
        with contextlib.suppress(OSError):  # it was bound and never listened
            listener.sock.shutdown(socket.SHUT_RD)
        listener.sock.close()
        self.groups.leave(listener)
        self._release_parked(listener.group)

    # --- what outlives the supervisor -------------------------------------------------

    def metas(self, app: str) -> dict[str, dict[str, object]]:
        """Return by its name what has to be known of each socket of an app.

        That is what the keeper is told, and the inode.
        """
        return {
            each.name: meta_of(each) | {"inode": inode_of(each.sock)}
            for each in self.of_app(app)
        }

    def _hold(self, listener: Listener) -> None:
        self._keeper.hold(listener.name, meta_of(listener), listener.sock.fileno())

    def adopt(self, name: str, meta: dict[str, object], descriptor: int) -> None:
        """Take over a socket that the keeper held while there was no supervisor."""
        self.by_name[name] = with_meta(name, meta, socket.socket(fileno=descriptor))
