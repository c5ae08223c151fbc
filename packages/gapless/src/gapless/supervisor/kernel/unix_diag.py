"""Ask the kernel for Unix-domain sockets (unix_diag of sock_diag(7)).

It tells less of them than of TCP: what waits to be read, on both sides, and no times and
no counts.  So a connection on which nothing waits is open, and whether an answer is owed on
it cannot be known.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_REQUEST, _DUMP = 0x001, 0x300
_ERROR, _DONE = 2, 3
_ESTABLISHED, _ANY_STATE = 1, 0xFFFFFFFF
_SHOW_NAME, _SHOW_QUEUES = 0x01, 0x10
_NAME, _QUEUES = 0, 4  # UNIX_DIAG_NAME, UNIX_DIAG_RQLEN
_NO_COOKIE = 0xFFFFFFFF
_BUFFER_BYTES = 1 << 18
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixConnection:
    """One end of a connection, as the kernel sees it."""

    inode: int
    name: str
    """The name that its listening socket was bound to; empty at the client's end."""
    unread: int
    unsent: int
    """What the other end has not read, in the kernel's own measure."""

    @property
    def is_moving(self) -> bool:
        """Whether bytes wait at either end: the request or the answer is under way."""
        return bool(self.unread or self.unsent)


def connections() -> tuple[UnixConnection, ...]:
    """Return the ends of connections that were accepted.  Raises OSError."""
    body = _request(1 << _ESTABLISHED, 0, _SHOW_NAME | _SHOW_QUEUES)
    return tuple(row for row in _ask(body, _REQUEST | _DUMP) if row.name)


def queued(sock: socket.socket) -> int:
    """Return how many connections wait in the queue of a listening socket.

    Raises OSError.
    """
    inode = os.fstat(sock.fileno()).st_ino
    rows = _ask(_request(_ANY_STATE, inode, _SHOW_QUEUES), _REQUEST)
    return rows[0].unread if rows else 0


def _request(states: int, inode: int, shown: int) -> bytes:
    family = socket.AF_UNIX
    return struct.pack(
        *("=BBHIIIII", family, 0, 0, states, inode, shown, _NO_COOKIE, _NO_COOKIE)
    )


def _ask(body: bytes, flags: int) -> list[UnixConnection]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as sock:
        sock.settimeout(_ANSWER_S)
        length = 16 + len(body)
        header = struct.pack("=IHHII", length, _SOCK_DIAG_BY_FAMILY, flags, 1, 0)
        sock.send(header + body)
        rows: list[UnixConnection] = []
        while True:
            said = sock.recv(_BUFFER_BYTES)
            at = 0
            while at + 16 <= len(said):
                length, kind = struct.unpack_from("=IH", said, at)
                if kind in (_DONE, _ERROR):
                    number = -struct.unpack_from("=i", said, at + 16)[0]
                    if number:
                        raise OSError(number, os.strerror(number))
                    return rows
                rows.append(_parse(said, at + 16, at + length))
                at += (length + 3) & ~3
            if not flags & _DUMP:
                return rows


def _parse(said: bytes, at: int, end: int) -> UnixConnection:
    """Return the row of a struct unix_diag_msg and its attributes."""
    (inode,) = struct.unpack_from("=I", said, at + 4)
    name, unread, unsent = "", 0, 0
    at += 16
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", said, at)
        if length < 4:
            break
        value = said[at + 4 : at + length]
        if kind == _NAME:
            name = os.fsdecode(value.partition(b"\0")[0])
        elif kind == _QUEUES and len(value) >= 8:
            unread, unsent = struct.unpack_from("=II", value)
        at += (length + 3) & ~3
    return UnixConnection(inode=inode, name=name, unread=unread, unsent=unsent)
