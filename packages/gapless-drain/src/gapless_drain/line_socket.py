"""Lines on a socket that never blocks: JSON is sent, words are received."""

from __future__ import annotations

import json
import socket
from typing import Any

LONGEST_LINE_BYTES = 65536
PIECE_BYTES = 4096


class LineSocket:
    """A connected socket, what came of an incomplete line, and what is not sent yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._partial = b""
        self._unsent = b""

    @property
    def unsent_bytes(self) -> int:
        """How much the supervisor has not read and the kernel does not take."""
        return len(self._unsent)

    def queue(self, message: dict[str, Any]) -> None:
        """Add a message to what is sent next."""
        self._unsent += json.dumps(message).encode() + b"\n"

    def send(self) -> None:
        """Send as much as the kernel takes; an error is noticed when the socket is read."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except OSError:
            return

    def receive(self) -> tuple[list[str], bool]:
        """Return the complete lines that have come, and whether the connection is over.

        It is also over if a line has no end within `LONGEST_LINE_BYTES`.
        """
        try:
            piece = self.sock.recv(PIECE_BYTES)
        except BlockingIOError:
            return [], False
        except OSError:
            piece = b""
        *lines, self._partial = (self._partial + piece).split(b"\n")
        is_over = not piece or len(self._partial) > LONGEST_LINE_BYTES
        return [line.decode(errors="replace").strip() for line in lines], is_over


def connect(address: str) -> LineSocket | None:
    """Connect without waiting: a supervisor that is stopped must not stop the app.

    *address* is a path, or `@name` in Linux's abstract namespace (unix(7)).
    """
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:  # no descriptor is left
        return None
    try:
        sock.setblocking(False)
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:  # nothing listens there, or its queue is full
        sock.close()
        return None
    return LineSocket(sock)
