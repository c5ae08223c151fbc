"""A connection whose process is gone: its next request is waited for, or carried."""

from __future__ import annotations

import contextlib
import selectors
import socket

from gapless.base import clock
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.attention import Counts
from gapless.supervisor.relay.http.exchange import Exchange, Outcome
from gapless.supervisor.relay.http.heads import Head, Verdict
from gapless.supervisor.relay.http.peek import peek

HEAD_S = 10.0
"""How long the head of a request may take to come whole, once no process waits for it."""


class Alone:
    """The only holder of a connection."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sock: socket.socket,
        counts: Counts,
        exchange: Exchange | None = None,
        *,
        read: tuple[Head, bytes] | None = None,
    ) -> None:
        """Hold a connection, and go on with what is carried on it.

        Of its next request something was *read*, and is to be carried.
        """
        self._read = read
        self._selector, self.sock, self._counts = selector, sock, counts
        self.exchange = exchange
        self.is_over = False
        self._since = clock.monotonic()
        self._asked_since: float | None = None
        """When the first byte of its next request came."""
        counts.taken += 1
        if read is not None:
            self._asked_since = self._since
        elif exchange is None:
            sockets.clear_mark(sock)
            selector.register(sock, selectors.EVENT_READ, self._woken)

    @classmethod
    def asked(
        cls,
        selector: selectors.BaseSelector,
        sock: socket.socket,
        counts: Counts,
        head: Head,
    ) -> Alone:
        """Hold a connection on which a request waits, and carry that.  Raises OSError."""
        sockets.clear_mark(sock)
        return cls(selector, sock, counts, Exchange(selector, sock, head))

    def is_quiet(self) -> bool:
        """Return whether nothing has come yet."""
        return self.exchange is None and self._asked_since is None

    def _woken(self) -> None:
        """Look from now on in each round: something has come."""
        self._selector.unregister(self.sock)
        self._asked_since = clock.monotonic()

    def round(self, now: float, limit_s: float, *, holds: bool = False) -> None:
        """Take one step; it may be silent for *limit_s*.  Raises OSError.

        While the relay *holds*, what comes waits, for as long.
        """
        if self.exchange is not None:
            self.exchange.tick(now)
            if (outcome := self.exchange.outcome) is not None:
                self.end(cut=outcome in (Outcome.REFUSED, Outcome.CUT))
        elif self._asked_since is None:
            if now >= self._since + limit_s:
                self.end()
        elif not holds or now >= self._asked_since + limit_s:
            if self._read is not None:
                read, found = self._read
                self.exchange = Exchange(self._selector, self.sock, read, found=found)
                return
            verdict, head = peek(self.sock)
            if head is not None:
                self.exchange = Exchange(self._selector, self.sock, head)
            elif verdict is Verdict.FOREIGN or now >= self._asked_since + HEAD_S:
                self.end()  # or its client has closed it

    def fail(self) -> None:
        """End it after an error."""
        self.end(cut=self.exchange is not None or self._read is not None)

    def end(self, *, cut: bool = False) -> None:
        """Close it, once."""
        if self.is_over:
            return
        self._counts.cut += cut
        self.is_over = True
        if self.exchange is not None and (stopped := self.exchange.abandon()):
            stopped.end()
        with contextlib.suppress(OSError):  # its peer is gone
            self.sock.shutdown(socket.SHUT_RDWR)
        if self.sock.fileno() in self._selector.get_map():
            self._selector.unregister(self.sock)
        self.sock.close()
