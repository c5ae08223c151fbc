"""Requests with large bodies: their process is stopped while they are taken.

A body that comes faster than it is read fills the window, which wakes its process whatever
the mark is.  A stopped one reads nothing.  A thread that sleeps in recv(2) reads what has
come when it is stopped: that has to be done before the request comes.
"""

from __future__ import annotations

import socket

from gapless.base import clock
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.http.heads import Head
from gapless.supervisor.relay.parking import Look
from gapless.supervisor.relay.reader import Reader

MOST_BODY_BYTES = 32 << 20
"""So much of a body may wait here while its process is stopped."""
LONGEST_STOP_S = 5.0
"""For so long a process is stopped while a large body comes; then the exchange is cut.

It must not go on before: it would read the rest of the body, and take it for requests."""
FAST_BYTES, FAST_RATE = 128 << 10, 8 << 20
"""A client sends fast that sent so much between two looks, at so many bytes a second."""
RECENT_S, NEXT_S = 0.2, 0.005
"""A client never pauses that sent so lately; its next request comes within that time."""


class Large:
    """Whether the client of a connection sends large bodies, and what is done for them."""

    def __init__(self, sock: socket.socket, reader: Reader) -> None:
        self._sock, self._reader = sock, reader
        self.seen = False
        """A request with a large body has come."""
        self._is_fast = False
        """A large body is there within a moment."""
        self._last = Look(received=0, unread=0, written=0)
        self._looked_at = self._stopped_until = 0.0

    def note(self, look: Look, now: float) -> None:
        """Note how fast the client sends."""
        passed_s = now - self._looked_at
        came = look.received - self._last.received
        if self._looked_at and came > FAST_BYTES and came > FAST_RATE * passed_s:
            self._is_fast = True
        self._last, self._looked_at = look, now

    def wait(self, now: float, *, begins_next: bool) -> bool:
        """Stop the process if what comes next is a request; return whether it stands still.

        It must not be asked to read, so that is done right after an answer.
        """
        if self._reader.stopped is not None:
            if now >= self._stopped_until:
                self._reader.go_on()
            return True
        if begins_next:
            self._reader.stop()
            self._stopped_until = now + NEXT_S
        return begins_next

    def part(self, head: Head, seen: Look, *, asleep: bool) -> bool:
        """Part a request from its process, which is stopped; return whether that went well.

        A reader that is *asleep* in recv(2) would read when it is stopped.
        """
        if head.upgrades or head.body_bytes is None:
            return False
        if head.body_bytes > MOST_BODY_BYTES or not self._is_fast:
            return False  # its process would stand still for too long
        self.seen = True
        reader = self._reader
        if reader.stops_others():
            return False  # one at a time: what waits here is bounded
        if asleep and reader.stopped is None and reader.is_blocking():
            return False  # it would read now; the next time it is stopped before
        if not reader.stop():
            return False
        now = sockets.steady_look(self._sock)
        if now is None or now.position != seen.position or now.written != seen.written:
            return False  # it was woken before
        if reader.stopped is not None:
            reader.stopped.until = clock.monotonic() + LONGEST_STOP_S
        return True
