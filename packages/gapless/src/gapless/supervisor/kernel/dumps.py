"""The kernel's sockets as all apps share them: asked for once in a turn of the loop.

A dump walks the kernel's whole table, so its price is nearly the same for one app and for
all of them (sock_diag).  Where the kernel does not tell, the answer is None: what is not
seen is not known to be idle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gapless.base import events
from gapless.supervisor.kernel import sock_diag, unix_diag
from gapless.supervisor.kernel.connections import Connection, Peer
from gapless.supervisor.kernel.sock_diag import SockDiag
from gapless.supervisor.kernel.unix_diag import UnixConnection

Incoming = tuple[tuple[Connection, ...], frozenset[Peer]]
_Answer = TypeVar("_Answer")
_NOT_ASKED = "it was not asked yet"


class Dumps:
    """Asks on behalf of every app that finishes something."""

    def __init__(self, log: events.Log) -> None:
        self._log = log
        self._diag: SockDiag | None = None
        self.unavailable = _NOT_ASKED
        """Why the kernel did not tell when it was asked last; empty if it did."""
        self.turn = 0
        self._turn_of_failure: int | None = None
        self._ports: dict[str, frozenset[int]] = {}
        """The ports of each app that asked lately."""
        self._dumped: frozenset[int] = frozenset()
        self._by_port: dict[int, list[Connection]] = {}
        self._peers: dict[int, list[Peer]] = {}
        self._outgoing: dict[frozenset[int], tuple[Connection, ...]] = {}
        self._on_paths: tuple[UnixConnection, ...] | None = ()
        self._on_paths_of = -1

    def begin_turn(self) -> None:
        """Forget what was read."""
        self.turn += 1
        self._dumped = frozenset()
        self._outgoing.clear()

    def finished(self, app: str) -> None:
        """Ask no more on behalf of an app."""
        self._ports.pop(app, None)

    def incoming(self, app: str, ports: frozenset[int]) -> Incoming | None:
        """Return the connections and handshakes of an app, as of this turn."""
        self._ports[app] = ports
        if not ports <= self._dumped:
            wanted = frozenset[int]().union(*self._ports.values())
            found = self._ask(lambda diag: diag.incoming(wanted))
            if found is None:
                return None
            self._take(wanted, found)
        connections = (each for port in ports for each in self._by_port.get(port, ()))
        peers = (each for port in ports for each in self._peers.get(port, ()))
        return tuple(connections), frozenset(peers)

    def _take(self, ports: frozenset[int], found: Incoming) -> None:
        self._dumped, self._by_port, self._peers = ports, {}, {}
        for connection in found[0]:
            self._by_port.setdefault(connection.local[1], []).append(connection)
        for peer in found[1]:
            self._peers.setdefault(peer.local_port, []).append(peer)

    def outgoing(self, ports: frozenset[int]) -> tuple[Connection, ...] | None:
        """Return the connections to some ports, as of this turn."""
        if ports not in self._outgoing:
            found = self._ask(lambda diag: diag.outgoing(ports)) if ports else ()
            if found is None:
                return None
            self._outgoing[ports] = found
        return self._outgoing[ports]

    def on_paths(self) -> tuple[UnixConnection, ...] | None:
        """Return the connections to Unix-domain paths, as of this turn.

        None if the kernel does not tell of them.
        """
        if self._on_paths_of != self.turn:
            self._on_paths_of = self.turn
            try:
                self._on_paths = unix_diag.connections()
            except OSError as error:
                self._on_paths = None
                self._log.write("evidence", missing=f"unix_diag: {error.strerror}")
        return self._on_paths

    # --- as it is now -----------------------------------------------------------------

    def half_open(self, ports: frozenset[int]) -> frozenset[Peer] | None:
        """Return the handshakes that are under way with some ports now."""
        return self._ask(lambda diag: diag.half_open(ports))

    def connections(self, ports: frozenset[int]) -> tuple[Connection, ...] | None:
        """Return the connections to some ports now."""
        return self._ask(lambda diag: diag.connections(ports))

    # --- asking -----------------------------------------------------------------------

    def try_again(self) -> str:
        """Find out whether the kernel tells of its sockets, if it did not; return why."""
        if self.unavailable:
            reason = sock_diag.why_unavailable()
            if not reason:
                reason = self._open()
            self._note(reason)
        return self.unavailable

    def _open(self) -> str:
        try:
            self._diag = SockDiag()
        except OSError as error:
            return sock_diag.reason_of(error)
        return ""

    def _ask(self, question: Callable[[SockDiag], _Answer]) -> _Answer | None:
        """Ask, once more in each turn while the kernel does not tell."""
        if self._turn_of_failure == self.turn:
            return None
        self.try_again()
        if self._diag is not None:
            try:
                return question(self._diag)
            except OSError as error:
                # An answer that comes late is not one to the next question.
                self._diag.close()
                self._diag = None
                self._note(sock_diag.reason_of(error))
        self._turn_of_failure = self.turn
        return None

    def _note(self, reason: str) -> None:
        before, self.unavailable = self.unavailable, reason
        if reason != before and (reason or before != _NOT_ASKED):
            self._log.write("evidence", missing=reason or None)
