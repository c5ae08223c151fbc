"""The bytes of sock_diag(7): rows of an answer, and the filter of a request.  Pure."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from gapless.supervisor.kernel.connections import Connection, Listening, Peer

TCP_INFO_EXTENSION = 1 << 1  # INET_DIAG_INFO
_TCP_INFO_ATTRIBUTE = 2
_SKV6ONLY_ATTRIBUTE = 11
_JUMP, _S_GE, _S_LE, _D_GE, _D_LE = 1, 2, 3, 4, 5  # INET_DIAG_BC_*


@dataclass(frozen=True, slots=True)
class Row:
    """A struct inet_diag_msg (<linux/inet_diag.h>)."""

    state: int
    local: tuple[str, int]
    remote: tuple[str, int]
    unread: int
    unsent: int
    uid: int
    inode: int


Found = tuple[Row, dict[int, bytes]]


def parse(said: bytes, start: int, end: int) -> Found:
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
    row = Row(
        state=state,
        local=(socket.inet_ntop(family, local), local_port),
        remote=(socket.inet_ntop(family, remote), remote_port),
        unread=unread,
        unsent=unsent,
        uid=uid,
        inode=inode,
    )
    return row, attributes


def connections(rows: list[Found]) -> tuple[Connection, ...]:
    """Return each connection once: a dump that was interrupted may hold one twice."""
    found: dict[tuple[tuple[str, int], tuple[str, int]], Connection] = {}
    for row, attributes in rows:
        connection = _connection(row, attributes.get(_TCP_INFO_ATTRIBUTE))
        found[connection.local, connection.remote] = connection
    return tuple(found.values())


def peers(rows: list[Found]) -> frozenset[Peer]:
    """Return the peers of handshakes."""
    return frozenset(
        Peer(host=row.remote[0], port=row.remote[1], local_port=row.local[1])
        for row, _ in rows
    )


def _connection(row: Row, tcp_info: bytes | None) -> Connection:
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


def only_ports(ports: list[int], *, remote: bool) -> bytes:
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


def listening(rows: list[Found]) -> tuple[Listening, ...]:
    """Return the listening sockets among rows."""
    return tuple(
        Listening(
            inode=row.inode,
            address=row.local,
            uid=row.uid,
            v6only=bool(attributes.get(_SKV6ONLY_ATTRIBUTE, b"\0")[0]),
        )
        for row, attributes in rows
    )
