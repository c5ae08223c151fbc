"""Bytes on their way from one socket to another."""

from __future__ import annotations

import collections
import socket


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
