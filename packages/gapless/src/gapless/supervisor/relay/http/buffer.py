"""Bytes on their way from one socket to another, and those that nobody wants any more."""

from __future__ import annotations

import collections
import socket

LINGER_S = 2.0
MOST_LINGER_BYTES = 4 << 20
_PIECE_BYTES = 256 << 10


class Buffer:
    """What was read and is not written yet, in pieces."""

    def __init__(self) -> None:
        self._pieces: collections.deque[memoryview] = collections.deque()
        self.size = 0

    def __bool__(self) -> bool:
        """Return whether something waits."""
        return self.size > 0

    def add(self, piece: bytes) -> None:
        """Add what was read."""
        if piece:
            self._pieces.append(memoryview(piece))
            self.size += len(piece)

    def send(self, sock: socket.socket) -> bool:
        """Write what fits; return whether anything did.  Raises OSError."""
        moved = False
        while self._pieces:
            piece = self._pieces[0]
            try:
                sent = sock.send(piece, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            moved = True
            self.size -= sent
            if sent < len(piece):
                self._pieces[0] = piece[sent:]
                break
            self._pieces.popleft()
        return moved

    def drop(self) -> None:
        """Forget what waits: nobody will read it."""
        self._pieces.clear()
        self.size = 0


class Linger:
    """The end of a connection: reads what its client still sends, up to a limit.

    A close with unread bytes would reset it, and could destroy the answer (RFC 9112, 9.6).
    """

    def __init__(self, client: socket.socket, now: float) -> None:
        """Begin; raises OSError if the client is gone."""
        self._client, self._until = client, now + LINGER_S
        self._left = MOST_LINGER_BYTES
        client.shutdown(socket.SHUT_WR)

    def is_over(self, now: float) -> bool:
        """Read what has come; return whether the connection may be closed.

        Raises OSError if the client is gone.
        """
        while self._left > 0 and now < self._until:
            try:
                piece = self._client.recv(_PIECE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            if not piece:
                break
            self._left -= len(piece)
        return True
