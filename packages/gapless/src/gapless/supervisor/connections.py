"""The kernel's evidence: queues, connections, handshakes (sock_diag(7), tcp(7)).

A dump walks the kernel's whole table of connections, which takes milliseconds on a machine
with much memory; a row costs 7 microseconds more.  So one dump answers a whole question:
both families and all ports, and only those of an app that is finishing something.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

_NETLINK_SOCK_DIAG = 4
_TCPDIAG_GETSOCK = 18
"""The older request of <linux/inet_diag.h>: it asks for both families in one dump."""
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ERROR, _DONE, _DUMP_INTERRUPTED = 2, 3, 0x10
_TCP_INFO_EXTENSION, _TCP_INFO_ATTRIBUTE = 1 << 1, 2
_SKV6ONLY_ATTRIBUTE = 11
_JUMP, _S_GE, _S_LE, _D_GE, _D_LE = 1, 2, 3, 4, 5  # INET_DIAG_BC_*
_BUFFER_BYTES = 1 << 18
_MOST_TRIES = 5

ESTABLISHED, SYN_RECV, FIN_WAIT1, FIN_WAIT2 = 1, 3, 4, 5
CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING, NEW_SYN_RECV = 8, 9, 10, 11, 12
_OPEN = (ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING)
_HALF_OPEN = (SYN_RECV, NEW_SYN_RECV)

LIVELY_MS = 5000
"""Who was silent for longer may ask again at any time, or never."""
TICK_MS = 4
"""The kernel tells ages in ticks of up to this length."""
RECENT_MS = 200
FRESH_MS = 1000
"""So long after the handshake a first request may be on its way, or its client starved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One TCP connection as the kernel sees it; ages in milliseconds."""

    inode: int
    """0 if no process holds it: the kernel finishes it by itself."""
    state: int
    local: tuple[str, int]
    remote: tuple[str, int]
    unread: int
    unsent: int
    bytes_received: int
    bytes_acked: int
    last_received_ms: int
    last_sent_ms: int
    last_acked_ms: int = 0
    """Since the peer acknowledged anything, if only what it had already."""
    segments_sent: int = 0
    """With data in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is in the middle of a handshake with us."""

    host: str
    port: int
    local_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """A listening socket of anybody."""

    inode: int
    address: tuple[str, int]
    uid: int
    v6only: bool


def is_busy(connection: Connection) -> bool:
    """Tell whether an answer is owed on a connection, as far as the kernel can know.

    A connection on which the last bytes came from the peer owes an answer, and so does
    one that has not carried anything both ways yet.  One that we have closed is the
    kernel's to finish; one that the peer has closed may still wait for its answer.
    """
    if connection.inode == 0 or connection.state in (
        FIN_WAIT1,
        FIN_WAIT2,
        LAST_ACK,
        CLOSING,
    ):
        return False
    if connection.unread or connection.unsent:
        return True
    if connection.bytes_received == 0:
        # Nothing was asked; a peer that closed without a word will not ask any more.
        return connection.state != CLOSE_WAIT
    if connection.bytes_acked == 0:
        return True
    received, sent = connection.last_received_ms, connection.last_sent_ms
    if received < RECENT_MS:
        return received <= sent + TICK_MS
    return received < sent


def is_unserved(connection: Connection) -> bool:
    """Tell whether a process that counts its requests has yet to count one.

    There are bytes that it has not read, or that the peer has not; or the peer has just
    connected: it would lose its first request if the process ended now.  The age of a
    connection that has carried nothing is that of its handshake.
    """
    if connection.unread or connection.unsent:
        return True
    return (
        connection.state == ESTABLISHED
        and connection.bytes_received == 0
        and connection.last_received_ms < FRESH_MS
    )


def is_lively(connection: Connection) -> bool:
    """Tell whether a next request may soon follow on an open connection."""
    if connection.inode == 0 or connection.state != ESTABLISHED:
        return False
    silent_ms = min(connection.last_received_ms, connection.last_sent_ms)
    return silent_ms < LIVELY_MS


def queued(sock: socket.socket) -> int:
    """Return how many connections wait in the accept queue of a listening socket.

    For a listening socket the kernel tells it as tcpi_unacked.
    """
    tcp_info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", tcp_info, 24)[0])


class SockDiag:
    """A netlink socket that is asked for TCP sockets."""

    def __init__(self) -> None:
        self._sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG
        )
        self._sock.settimeout(5)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def connections(self, ports: frozenset[int]) -> tuple[Connection, ...]:
        """Return the open connections whose local port is one of *ports*."""
        return _connections(self._dump(ports, _OPEN, _TCP_INFO_EXTENSION))

    def half_open(self, ports: frozenset[int]) -> frozenset[Peer]:
        """Return the peers whose handshake with one of *ports* is under way."""
        return _peers(self._dump(ports, _HALF_OPEN))

    def incoming(
        self, ports: frozenset[int]
    ) -> tuple[tuple[Connection, ...], frozenset[Peer]]:
        """Return both, by one dump: a handshake that ends is not between two of them."""
        rows = self._dump(ports, _OPEN + _HALF_OPEN, _TCP_INFO_EXTENSION)
        half_open = [row for row in rows if row[0].state in _HALF_OPEN]
        rest = [row for row in rows if row[0].state not in _HALF_OPEN]
        return _connections(rest), _peers(half_open)

    def outgoing(self, ports: frozenset[int]) -> tuple[Connection, ...]:
        """Return the established connections whose remote port is one of *ports*."""
        rows = self._dump(ports, (ESTABLISHED,), _TCP_INFO_EXTENSION, remote=True)
        return _connections(rows)

    def listeners(self, port: int) -> tuple[Listening, ...]:
        """Return everybody's listening sockets on a port."""
        return tuple(
            Listening(
                inode=row.inode,
                address=row.local,
                uid=row.uid,
                v6only=bool(attributes.get(_SKV6ONLY_ATTRIBUTE, b"\0")[0]),
            )
            for row, attributes in self._dump(frozenset({port}), (LISTEN,))
        )

    def _dump(
        self,
        ports: frozenset[int],
        states: tuple[int, ...],
        extensions: int = 0,
        *,
        remote: bool = False,
    ) -> list[_Found]:
        if not ports:
            return []
        body = struct.pack("=BBBB48x", socket.AF_UNSPEC, 0, 0, extensions)
        body += struct.pack("=II", sum(1 << state for state in states), 0)
        body += _only_ports(sorted(ports), remote=remote)
        interrupted, tries = True, 0
        rows: list[_Found] = []
        while interrupted and tries < _MOST_TRIES:
            self._ask(body)
            rows, interrupted = self._answer()
            tries += 1
        return rows

    def _ask(self, body: bytes) -> None:
        length = 16 + len(body)
        header = struct.pack("=IHHII", length, _TCPDIAG_GETSOCK, _REQUEST_DUMP, 1, 0)
        self._sock.send(header + body)

    def _answer(self) -> tuple[list[_Found], bool]:
        rows: list[_Found] = []
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
                        raise OSError(number, f"sock_diag: {os.strerror(number)}")
                    return rows, interrupted
                rows.append(_row(said, at + 16, at + length))
                at += (length + 3) & ~3


def listeners(port: int) -> tuple[Listening, ...]:
    """Return everybody's listening sockets on a port."""
    diag = SockDiag()
    try:
        return diag.listeners(port)
    finally:
        diag.close()


@dataclass(frozen=True, slots=True)
class _Row:
    state: int
    local: tuple[str, int]
    remote: tuple[str, int]
    unread: int
    unsent: int
    uid: int
    inode: int


_Found = tuple[_Row, dict[int, bytes]]


def _row(said: bytes, start: int, end: int) -> _Found:
    """Return a struct inet_diag_msg and the attributes behind it."""
    family, state = struct.unpack_from("=BB", said, start)
    local_port, remote_port = struct.unpack_from(">HH", said, start + 4)
    size = 4 if family == socket.AF_INET else 16
    local = said[start + 8 : start + 8 + size]
    remote = said[start + 24 : start + 24 + size]
    unread, unsent, uid, inode = struct.unpack_from("=IIII", said, start + 56)
    attributes = {}
    at = start + 72
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", said, at)
        if length < 4:
            break
        attributes[kind] = said[at + 4 : at + length]
        at += (length + 3) & ~3
    row = _Row(
        state=state,
        local=(socket.inet_ntop(family, local), local_port),
        remote=(socket.inet_ntop(family, remote), remote_port),
        unread=unread,
        unsent=unsent,
        uid=uid,
        inode=inode,
    )
    return row, attributes


def _connections(rows: list[_Found]) -> tuple[Connection, ...]:
    """Return each connection once: a dump that was interrupted may tell one twice."""
    found: dict[tuple[tuple[str, int], tuple[str, int]], Connection] = {}
    for row, attributes in rows:
        connection = _connection(row, attributes.get(_TCP_INFO_ATTRIBUTE))
        found[connection.local, connection.remote] = connection
    return tuple(found.values())


def _peers(rows: list[_Found]) -> frozenset[Peer]:
    return frozenset(
        Peer(host=row.remote[0], port=row.remote[1], local_port=row.local[1])
        for row, _ in rows
    )


def _connection(row: _Row, tcp_info: bytes | None) -> Connection:
    last_sent = last_received = last_acked = acked = received = segments = 0
    if tcp_info is not None and len(tcp_info) >= 160:
        last_sent, _, last_received = struct.unpack_from("=III", tcp_info, 44)
        (last_acked,) = struct.unpack_from("=I", tcp_info, 56)
        acked, received = struct.unpack_from("=QQ", tcp_info, 120)
        (segments,) = struct.unpack_from("=I", tcp_info, 156)
    return Connection(
        inode=row.inode,
        state=row.state,
        local=row.local,
        remote=row.remote,
        unread=row.unread,
        unsent=row.unsent,
        bytes_received=received,
        bytes_acked=acked,
        last_received_ms=last_received,
        last_sent_ms=last_sent,
        last_acked_ms=last_acked,
        segments_sent=segments,
    )


def _only_ports(ports: list[int], *, remote: bool) -> bytes:
    """Return the filter that lets the kernel send rows of some ports only, at one end.

    INET_DIAG_REQ_BYTECODE: an operation is (code, yes, no) with offsets in bytes; each
    comparison is followed by the port as one more operation (<linux/inet_diag.h>).  Who
    passes the comparisons with one port jumps to the end; who passes none, beyond it.
    """
    at_least, at_most = (_D_GE, _D_LE) if remote else (_S_GE, _S_LE)
    code = b""
    for port in reversed(ports):
        behind, refused = len(code), 0 if code else 4
        known = struct.pack("=BBH", 0, 0, port)
        code = b"".join(
            (
                struct.pack("=BBH", at_least, 8, 20 + refused),
                known,
                struct.pack("=BBH", at_most, 8, 12 + refused),
                known,
                struct.pack("=BBH", _JUMP, 4, 4 + behind),
                code,
            )
        )
    return struct.pack("=HH", 4 + len(code), 1) + code
