"""The request of an exchange as it comes: what of it goes on, and when it is whole.

What is behind its end is another request, and never goes on.
"""

from __future__ import annotations

import h11

from gapless.supervisor.relay.http import heads
from gapless.supervisor.relay.http.heads import Head


class Request:
    """Follows the bytes of one request."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.whole = False
        self.broken = False
        """Its end cannot be found: the program gets what came, and judges it."""
        self._body_left = head.body_bytes
        if head.body_bytes is not None:
            self.whole = not head.body_bytes
            return
        self._parser = h11.Connection(
            h11.SERVER,
            # A chunk's size with its extensions, and trailers, are no longer than heads.
            max_incomplete_event_size=max(heads.LARGEST_HEAD_BYTES, len(head.raw)),
        )
        self._follow(head.raw)

    def first(self) -> bytes:
        """Return its head as it goes on."""
        raw = self.head.raw
        return raw if self.head.upgrades else heads.as_the_last(raw)

    def most(self, limit: int) -> int:
        """Return how many bytes may be read: no more than it has, if that is known."""
        return limit if self._body_left is None else min(limit, self._body_left)

    def feed(self, piece: bytes) -> bytes:
        """Take in a piece of its body; return it without what is behind its end."""
        if self._body_left is None:
            behind = self._follow(piece)
        else:
            behind = max(0, len(piece) - self._body_left)
            self._body_left = max(0, self._body_left - len(piece))
            self.whole = not self._body_left
        return piece[: len(piece) - behind] if behind else piece

    def _follow(self, piece: bytes) -> int:
        """Return how many bytes are behind its end."""
        self._parser.receive_data(piece)
        try:
            while True:
                event = self._parser.next_event()
                if isinstance(event, h11.EndOfMessage):
                    self.whole = True
                    return len(self._parser.trailing_data[0])
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return 0
        except h11.RemoteProtocolError:
            self.broken = True
            return 0
