"""Ask the kernel for its TCP sockets (sock_diag(7)).

A dump walks the kernel's whole table of connections, which takes milliseconds on a machine
with much memory; a row costs 7 microseconds more.  So one dump answers a whole question:
both families and all ports, and only those of an app that is finishing something.
"""

from __future__ import annotations

import os
import socket
import struct

from gapless.supervisor.kernel import diag_rows
from gapless.supervisor.kernel.connections import (
    ESTABLISHED,
    HALF_OPEN,
    LISTEN,
    OPEN,
    Connection,
    Listening,
    Peer,
)
from gapless.supervisor.kernel.diag_rows import TCP_INFO_EXTENSION, Found

_NETLINK_SOCK_DIAG = 4
_TCPDIAG_GETSOCK = 18
"""The older request of <linux/inet_diag.h>: it asks for both families in one dump."""
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ERROR, _DONE, _DUMP_INTERRUPTED = 2, 3, 0x10
_BUFFER_BYTES = 1 << 18
_MOST_TRIES = 5


def queued(sock: socket.socket) -> int:
    """Return how many connections wait in the accept queue of a listening socket.

    For a listening socket the kernel reports it as tcpi_unacked.
    """
    tcp_info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", tcp_info, 24)[0])


class SockDiag:
    """A netlink socket on which the kernel is asked for its TCP sockets."""

    def __init__(self) -> None:
        """Open the socket.  Raises OSError, as every question does."""
        self._sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG
        )
        self._sock.settimeout(5)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def connections(self, ports: frozenset[int]) -> tuple[Connection, ...]:
        """Return the open connections whose local port is one of *ports*."""
        return diag_rows.connections(self._dump(ports, OPEN, TCP_INFO_EXTENSION))

    def half_open(self, ports: frozenset[int]) -> frozenset[Peer]:
        """Return the peers whose handshake with one of *ports* is under way."""
        return diag_rows.peers(self._dump(ports, HALF_OPEN))

    def incoming(
        self, ports: frozenset[int]
    ) -> tuple[tuple[Connection, ...], frozenset[Peer]]:
        """Return both, by one dump: a handshake that ends is not between two of them."""
        rows = self._dump(ports, OPEN + HALF_OPEN, TCP_INFO_EXTENSION)
        half_open = [row for row in rows if row[0].state in HALF_OPEN]
        rest = [row for row in rows if row[0].state not in HALF_OPEN]
        return diag_rows.connections(rest), diag_rows.peers(half_open)

    def outgoing(self, ports: frozenset[int]) -> tuple[Connection, ...]:
        """Return the established connections whose remote port is one of *ports*."""
        rows = self._dump(ports, (ESTABLISHED,), TCP_INFO_EXTENSION, remote=True)
        return diag_rows.connections(rows)

    def listeners(self, port: int) -> tuple[Listening, ...]:
        """Return the listening sockets of all programs on a port."""
        return diag_rows.listening(self._dump(frozenset({port}), (LISTEN,)))

    def _dump(
        self,
        ports: frozenset[int],
        states: tuple[int, ...],
        extensions: int = 0,
        *,
        remote: bool = False,
    ) -> list[Found]:
        if not ports:
            return []
        body = struct.pack("=BBBB48x", socket.AF_UNSPEC, 0, 0, extensions)
        body += struct.pack("=II", sum(1 << state for state in states), 0)
        body += diag_rows.only_ports(sorted(ports), remote=remote)
        interrupted, tries = True, 0
        rows: list[Found] = []
        while interrupted and tries < _MOST_TRIES:
            self._ask(body)
            rows, interrupted = self._answer()
            tries += 1
        return rows

    def _ask(self, body: bytes) -> None:
        length = 16 + len(body)
        header = struct.pack("=IHHII", length, _TCPDIAG_GETSOCK, _REQUEST_DUMP, 1, 0)
        self._sock.send(header + body)

    def _answer(self) -> tuple[list[Found], bool]:
        rows: list[Found] = []
        interrupted = False
        while True:
            said = self._sock.recv(_BUFFER_BYTES)
            at = 0
            while at + 16 <= len(said):
                length, kind, flags = struct.unpack_from("=IHH", said, at)
                interrupted |= bool(flags & _DUMP_INTERRUPTED)
                if kind in (_DONE, _ERROR):
                    number = -struct.unpack_from("=i", said, at + 16)[0]
                    if number:
                        raise OSError(number, os.strerror(number))
                    return rows, interrupted
                rows.append(diag_rows.parse(said, at + 16, at + length))
                at += (length + 3) & ~3


def listeners(port: int) -> tuple[Listening, ...]:
    """Return the listening sockets of all programs on a port."""
    diag = SockDiag()
    try:
        return diag.listeners(port)
    finally:
        diag.close()


def reason_of(error: OSError) -> str:
    """Return why a question failed."""
    return f"sock_diag: {(error.strerror or str(error)).lower()}"


def why_unavailable() -> str:
    """Return why the kernel does not tell of its sockets; empty if it does.

    It may lack the module, a filter of this process may refuse the question, and a kernel
    of another kind may answer without a row: a socket that is there has to be seen.
    """
    try:
        with socket.socket() as known:
            known.bind(("127.0.0.1", 0))
            known.listen()
            rows = listeners(known.getsockname()[1])
            inode = os.fstat(known.fileno()).st_ino
    except OSError as error:
        return reason_of(error)
    seen = any(row.inode == inode for row in rows)
    return "" if seen else "sock_diag: a socket that is there is not in the answer"
