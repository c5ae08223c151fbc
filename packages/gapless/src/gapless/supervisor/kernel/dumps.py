"""The kernel's sockets as all apps share them: asked for once in a turn of the loop.

A dump walks the kernel's whole table, so its price is nearly the same for one app and for
all of them (sock_diag).
"""

from __future__ import annotations

from gapless.supervisor.kernel.connections import Connection, Peer
from gapless.supervisor.kernel.sock_diag import SockDiag

Incoming = tuple[tuple[Connection, ...], frozenset[Peer]]


class Dumps:
    """Asks on behalf of every app that finishes something."""

    def __init__(self) -> None:
        self._diag = SockDiag()
        self.turn = 0
        self._ports: dict[str, frozenset[int]] = {}
        """The ports of each app that asked lately."""
        self._dumped: frozenset[int] = frozenset()
        self._by_port: dict[int, list[Connection]] = {}
        self._peers: dict[int, list[Peer]] = {}
        self._outgoing: dict[frozenset[int], tuple[Connection, ...]] = {}

    def begin_turn(self) -> None:
        """Forget what was read."""
        self.turn += 1
        self._dumped = frozenset()
        self._outgoing.clear()

    def finished(self, app: str) -> None:
        """Ask no more on behalf of an app."""
        self._ports.pop(app, None)

    def incoming(self, app: str, ports: frozenset[int]) -> Incoming:
        """Return the connections and handshakes of an app, as of this turn."""
        self._ports[app] = ports
        if not ports <= self._dumped:
            self._dump(frozenset[int]().union(*self._ports.values()))
        connections = (each for port in ports for each in self._by_port.get(port, ()))
        peers = (each for port in ports for each in self._peers.get(port, ()))
        return tuple(connections), frozenset(peers)

    def _dump(self, ports: frozenset[int]) -> None:
        connections, half_open = self._diag.incoming(ports)
        self._dumped, self._by_port, self._peers = ports, {}, {}
        for connection in connections:
            self._by_port.setdefault(connection.local[1], []).append(connection)
        for peer in half_open:
            self._peers.setdefault(peer.local_port, []).append(peer)

    def outgoing(self, ports: frozenset[int]) -> tuple[Connection, ...]:
        """Return the connections to some ports, as of this turn."""
        if ports not in self._outgoing:
            self._outgoing[ports] = self._diag.outgoing(ports)
        return self._outgoing[ports]

    # --- as it is now -----------------------------------------------------------------

    def half_open(self, ports: frozenset[int]) -> frozenset[Peer]:
        """Return the handshakes that are under way with some ports now."""
        return self._diag.half_open(ports)

    def connections(self, ports: frozenset[int]) -> tuple[Connection, ...]:
        """Return the connections to some ports now."""
        return self._diag.connections(ports)
