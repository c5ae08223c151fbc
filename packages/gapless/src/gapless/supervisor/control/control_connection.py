"""The connection of one client: one request, then lines, the last of which ends it.

Rule 1: nothing that a client sends, or does not send, ends more than its own connection.
Rule 2: a connection without a request, or with an answer that nobody reads, has a deadline.
"""

from __future__ import annotations

import json
import select
import selectors
import socket
from collections.abc import Callable
from typing import Any

from gapless.base import clock, events
from gapless.base.errors import GaplessError, InternalError, MisuseError, TimedOutError
from gapless.base.outside import faults
from gapless.supervisor.control import request as requests
from gapless.supervisor.control.request import Request

LONGEST_REQUEST_BYTES = 8 << 20
MOST_UNREAD_BYTES = 8 << 20
REQUEST_S = 10.0
"""How long a client may take to send its request."""
UNREAD_S = 60.0
"""How long a client may take to read the last line."""
LINGER_S = 5.0
"""How long the rest of a request that was refused is read: a close would destroy the answer
(unix(7): the peer gets ECONNRESET)."""


class ControlConnection:
    """The connection of one client."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sock: socket.socket,
        serve: Callable[[Request, ControlConnection], None],
        *,
        changed: Callable[[ControlConnection], None],
        ended: Callable[[ControlConnection], None],
        log: events.Log,
    ) -> None:
        """Use *changed* to tell that there is something to `flush`, or a new deadline."""
        self._selector, self._sock, self._log = selector, sock, log
        self._serve, self._changed, self._ended = serve, changed, ended
        self._received, self._unsent = bytearray(), b""
        self._has_request = self._closing = self._lingering = False
        self._client_is_done = False
        """It has closed its own direction, and may read still."""
        self._op = ""
        self.deadline: float | None = clock.monotonic() + REQUEST_S
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, self._go_on)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is done for this client: it may be closed without a loss."""
        return not self._has_request or self._closing

    # --- answers ------------------------------------------------------------------------

    def send(self, message: dict[str, Any], last: bool) -> None:
        """Queue one line; after the *last* one the connection is closed."""
        if self._sock.fileno() < 0:
            return
        self._unsent += json.dumps(message).encode() + b"\n"
        if last:
            self._closing = True
            self.deadline = clock.monotonic() + UNREAD_S
        self._changed(self)

    def answer(self, find: Callable[[], Any]) -> None:
        """Send what *find* returns as the last line, or the error that it raises."""
        try:
            self.send({"result": find()}, last=True)
        except Exception as error:  # noqa: BLE001 - one fault hurts one client
            self._failed(error)

    def fail(self, error: GaplessError) -> None:
        """Send an error as the last line."""
        self.send({"error": error.describe()}, last=True)

    def _failed(self, error: Exception) -> None:
        """Send an error; one that nobody foresaw is logged with its traceback."""
        if isinstance(error, GaplessError):
            self.fail(error)
            return
        shown = faults.traceback_of(error)
        self._log.write("request-failed", op=self._op, traceback=shown)
        self.fail(
            InternalError(
                f"{self._op or 'the request'} failed in the supervisor: "
                f"{type(error).__name__}: {str(error)[:200]}",
                hint=f"{self._log.path} has more; the apps and the supervisor go on",
            )
        )

    def flush(self) -> None:
        """Send the queued lines, once what they report is remembered."""
        if self._sock.fileno() >= 0 and (self._unsent or self._closing):
            self._flush()

    def expire(self, now: float) -> None:
        """End a connection whose deadline is over."""
        if self.deadline is None or now < self.deadline:
            return
        if self._closing:
            self.close()
        else:
            self.fail(TimedOutError(f"no request came in {REQUEST_S:g} s"))

    # --- the request --------------------------------------------------------------------

    def _go_on(self) -> None:
        try:
            if not self._client_is_done:
                self._read()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        self._changed(self)

    def _read(self) -> None:
        piece = self._sock.recv(65536)
        if not piece:
            self._end_of_input()
        elif not (self._has_request or self._closing):
            self._take(piece)
        # One request a connection: what comes after it is ignored.

    def _take(self, piece: bytes) -> None:
        end = piece.find(b"\n")
        self._received += piece if end < 0 else piece[:end]
        if len(self._received) > LONGEST_REQUEST_BYTES:
            self._received.clear()
            self._lingering = end < 0
            self.fail(MisuseError("the request is too long"))
        elif end >= 0:
            line = bytes(self._received)
            self._received.clear()
            self._has_request, self.deadline = True, None
            self._take_request(line)

    def _take_request(self, line: bytes) -> None:
        try:
            request = requests.read(line)
            self._op = request.op[:40]
            self._serve(request, self)
        except Exception as error:  # noqa: BLE001 - one fault hurts one client
            self._failed(error)

    def _end_of_input(self) -> None:
        """Close, unless the client has closed its own direction only, and reads."""
        if self._received:
            self.fail(MisuseError("the request has no end: it is one line"))
        if not (self._has_request or self._closing) or self._has_hung_up():
            self.close()
            return
        self._client_is_done, self._lingering = True, False
        self._watch()

    def _has_hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._sock, 0)
        return any(found & select.POLLHUP for _, found in poll.poll(0))

    # --- the socket ---------------------------------------------------------------------

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if len(self._unsent) > MOST_UNREAD_BYTES:
            self.close()
        elif self._closing and not self._unsent:
            self._finish()
        else:
            self._watch()

    def _finish(self) -> None:
        if not self._lingering:
            self.close()
        elif self.deadline is None or self.deadline > clock.monotonic() + LINGER_S:
            self._sock.shutdown(socket.SHUT_WR)
            self.deadline = clock.monotonic() + LINGER_S
            self._watch()

    def _watch(self) -> None:
        """Wake for what is still to be read or sent."""
        events = 0 if self._client_is_done else selectors.EVENT_READ
        if self._unsent:
            events |= selectors.EVENT_WRITE
        known = self._sock.fileno() in self._selector.get_map()
        if events and known:
            self._selector.modify(self._sock, events, self._go_on)
        elif events:
            self._selector.register(self._sock, events, self._go_on)
        elif known:
            self._selector.unregister(self._sock)

    def close(self) -> None:
        """Close the connection."""
        if self._sock.fileno() >= 0:
            if self._sock.fileno() in self._selector.get_map():
                self._selector.unregister(self._sock)
            self._sock.close()
            self._ended(self)
