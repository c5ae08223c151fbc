"""The answer of an exchange as it comes: what of it goes on, and when it is whole.

The head gets `Connection: close`; everything else goes on as it came.  An answer that h11
does not understand goes on untouched, until the program closes its connection.
"""

from __future__ import annotations

import h11

from gapless.supervisor.relay.http import heads

SWITCHED = 101


class Answer:
    """Follows the bytes of one answer."""

    def __init__(self, request: h11.Request) -> None:
        self._parser: h11.Connection | None = h11.Connection(
            h11.CLIENT, max_incomplete_event_size=heads.LARGEST_HEAD_BYTES
        )
        try:
            self._parser.send(request)
        except h11.LocalProtocolError:
            self._parser = None
        self._head = b""
        self._head_passed = False
        self.began = False
        self.whole = False
        self.switched = False
        """The connection has changed to another protocol: everything is passed on."""

    def feed(self, piece: bytes) -> bytes:
        """Take in what came; return what goes on to the client."""
        self.began = True
        if self.switched or self._parser is None:
            return piece
        if self._head_passed:
            return self._take(piece)
        self._head += piece
        passed = b""
        while end := heads.end_of_head(self._head):
            head, self._head = self._head[:end], self._head[end:]
            status = heads.status_of(head)
            if status == SWITCHED:
                self.switched = True
                rest, self._head = self._head, b""
                return passed + head + rest
            interim = 100 <= status < 200  # RFC 9110, 15.2
            self._follow(head)
            if interim or self._parser is None:
                passed += head
            else:
                passed += heads.as_the_last(head)
            if not interim:
                self._head_passed = True
                rest, self._head = self._head, b""
                return passed + (self._take(rest) if rest else b"")
        if len(self._head) > heads.LARGEST_HEAD_BYTES:
            self._parser = None
        if self._parser is None:
            rest, self._head = self._head, b""
            return passed + rest
        return passed

    def _take(self, piece: bytes) -> bytes:
        """Take in a piece of the body; return it without what is behind its end."""
        if self.whole:
            return b""
        self._follow(piece)
        if self.whole and self._parser is not None:
            behind = len(self._parser.trailing_data[0])
            return piece[: len(piece) - behind] if behind else piece
        return piece

    def end(self, *, failed: bool = False) -> bytes:
        """Take in that the program closed its connection; return what goes on.

        Nothing ends whole by a connection that has *failed*.
        """
        rest, self._head = self._head, b""
        if failed:
            return rest
        if self._parser is None or self.switched:
            self.whole = self.began
        elif not self.whole and not rest:
            self._follow(b"")
        return rest

    def _follow(self, piece: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        try:
            parser.receive_data(piece)
            while True:
                event = parser.next_event()
                if isinstance(event, h11.EndOfMessage):
                    self.whole = True
                    return
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                if isinstance(event, h11.ConnectionClosed):
                    return
        except h11.RemoteProtocolError:
            self._parser = None
