"""Who is at the other end of a Unix-domain socket, by the kernel's word (unix(7))."""

from __future__ import annotations

import socket
import struct

_UCRED = struct.Struct("iII")


def credentials_of(sock: socket.socket) -> tuple[int, int]:
    """Return pid and uid of who connected, or of who listens.  Raises OSError."""
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(found)
    return pid, uid
