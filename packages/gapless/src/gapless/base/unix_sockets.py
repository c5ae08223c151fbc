"""Listening sockets with a name in a directory."""

from __future__ import annotations

import os
import socket

from gapless.base import files


def listen(
    directory: str, name: str, backlog: int
) -> tuple[socket.socket, tuple[int, int]]:
    """Return a socket of this user that listens at a name, and the identity of that name.

    It takes the place of what had the name.  Raises OSError.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            # By way of /proc a path has no limit of 107 bytes (unix(7)).
            beside = f"/proc/self/fd/{opened}/{name}.{os.getpid()}"
            before = os.umask(0o177)
            try:
                listener.bind(beside)
            finally:
                os.umask(before)
            listener.listen(backlog)
            identity = files.identity(beside)
            # A client that finds the socket finds it listening.
            os.rename(beside, f"/proc/self/fd/{opened}/{name}")
        finally:
            os.close(opened)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener, identity
