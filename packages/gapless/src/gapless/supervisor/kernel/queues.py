"""What waits at a socket for a program to take it, of every kind of socket."""

from __future__ import annotations

import contextlib
import select
import socket

from gapless.supervisor.kernel import sock_diag, unix_diag


def queued(sock: socket.socket) -> int:
    """Return how many connections wait to be accepted, or datagrams to be read.

    Where the kernel does not count them, 1 stands for some.
    """
    if sock.family == socket.AF_UNIX:
        with contextlib.suppress(OSError):  # the kernel was built without unix_diag
            return unix_diag.queued(sock)
    elif sock.type == socket.SOCK_STREAM:
        return sock_diag.queued(sock)
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return int(any(events & select.POLLIN for _, events in poller.poll(0)))
