"""Look at what waits on a connection without reading it."""

from __future__ import annotations

import socket

from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.http import heads
from gapless.supervisor.relay.http.heads import Head, Verdict


def peek(sock: socket.socket) -> tuple[Verdict, Head | None]:
    """Return what waits, and the head of a request if it is whole.  Raises OSError."""
    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
    try:
        waiting = sock.recv(heads.LARGEST_HEAD_BYTES, flags)
    except BlockingIOError:  # its process was faster
        return Verdict.PARTIAL, None
    return heads.judge(waiting)


def fits(head: Head) -> bool:
    """Return whether a request wakes no process, however late the relay reads it."""
    if head.body_bytes is None or head.upgrades:
        return False
    return len(head.raw) + head.body_bytes <= sockets.LARGEST_WHOLE_BYTES
