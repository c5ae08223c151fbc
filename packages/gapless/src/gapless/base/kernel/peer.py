"""Who is at the other end of a Unix-domain socket, by the kernel's word (unix(7))."""

from __future__ import annotations

import os
import socket
import struct

_UCRED = struct.Struct("iII")
_SO_PEERPIDFD = 77
"""Linux 6.5."""
_SO_PASSRIGHTS = 83
"""Linux 6.16."""


def credentials_of(sock: socket.socket) -> tuple[int, int]:
    """Return pid and uid of who connected, or of who listens.  Raises OSError."""
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(found)
    return pid, uid


def pidfd_of(sock: socket.socket) -> int:
    """Return a pidfd of the very process that connected; -1 where the kernel has none.

    Its number may be another's by now.
    """
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        return -1
    os.set_inheritable(found, False)
    return found


def refuse_descriptors(sock: socket.socket) -> bool:
    """Let nobody send descriptors to a socket, nor to what it accepts (Linux 6.16).

    Returns whether the kernel can.

    To close the last copy of one may take as long as its sender likes (SO_LINGER, FUSE).
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    except OSError:
        return False
    return True


def sender_of(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    """Return pid and uid of who sent a message (SO_PASSCRED); (0, -1) if it has none."""
    for level, kind, content in ancillary:
        known = (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
        if known and len(content) >= _UCRED.size:
            pid, uid, _ = _UCRED.unpack_from(content)
            return pid, uid
    return 0, -1
