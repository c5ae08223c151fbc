"""One client of a load.  It sends each request once, whatever happens to it."""

from __future__ import annotations

import errno
import os
import random
import selectors
import socket
import time
from dataclasses import dataclass

from rig.load import fates
from rig.load.fates import ANSWERED
from rig.load.http1 import Answer, ProtocolError
from rig.load.ledger import Ledger
from rig.load.report import Request
from rig.load.traffic import Traffic, body_of, head_of

PACE_S = float(os.environ.get("RIG_PACE_S") or 0)
"""The shortest pause of every client between two requests, unless it is unresting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a load goes, and the selector that watches its sockets."""

    host: str
    port: int
    selector: selectors.BaseSelector


class Client:
    """One client of one traffic, as a state machine on one connection at a time."""

    def __init__(
        self, target: Target, ledger: Ledger, traffic: Traffic, number: int
    ) -> None:
        self.target, self.ledger, self.traffic = target, ledger, traffic
        self.number = number
        self.sock: socket.socket | None = None
        self.request: Request | None = None
        self.resume_at = time.monotonic() + random.uniform(0.0, traffic.every_s)
        self.broken = False
        """The connection broke while a request was sent."""
        self.closed_idle = False
        """The server has closed the connection while it was idle."""

    def begin(self, now: float) -> None:
        """Send the next request, on the open connection or on a new one."""
        if self.sock is not None and self._was_closed():
            self._hang_up_idle()  # and noticed before a byte was written
        number = self.ledger.next_number()
        reused = self.sock is not None
        self.request = Request(number, self.traffic.kind, now, reused=reused)
        self.request.closed_idle, self.closed_idle = self.closed_idle, False
        self.request.client = self.number
        self.request.due = self.resume_at
        self.answer = Answer(head_only=self.traffic.method == "HEAD")
        self.body = body_of(self.traffic, number)
        host, port = self.target.host, self.target.port
        self.unsent = head_of(self.traffic, number, host, port)
        self.body_sent = 0
        self.broken = False
        if not self.traffic.body_s:
            self.unsent += self.body
            self.body_sent = len(self.body)
        if self.sock is None:
            self._connect()
        else:
            self._go_on()

    def ready(self) -> None:
        """Go on, since the socket is ready."""
        if self.request is None:
            self._hang_up_idle()
            return
        self._go_on()

    def ends_overdue(self, now: float) -> bool:
        """End the request if its time is up; return whether that was so."""
        request, timeout_s = self.request, self.traffic.timeout_s
        if request is None or now < request.began + timeout_s:
            return False
        self._end("time-out", f"{timeout_s:g} s")
        return True

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self.sock is not None:
            if self.sock in self.target.selector.get_map():
                self.target.selector.unregister(self.sock)
            self.sock.close()
            self.sock = None

    # --- the connection -----------------------------------------------------------------

    def _hang_up_idle(self) -> None:
        """Hang up, since the server closed an idle connection, which it may."""
        self.closed_idle = True
        self.hang_up()

    def _connect(self) -> None:
        family = socket.AF_INET6 if ":" in self.target.host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = self.sock.connect_ex((self.target.host, self.target.port))
        if number not in (0, errno.EINPROGRESS):
            self._lose(OSError(number, errno.errorcode.get(number, "?")))
            return
        self.target.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def _go_on(self) -> None:
        assert self.sock is not None
        try:
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, errno.errorcode.get(number, "?"))
            self._send()
            self._receive()
        except BlockingIOError:
            self._watch()
        except ProtocolError as error:
            self._end("wrong", str(error))
        except OSError as error:
            self._lose(error)

    def _send(self) -> None:
        assert self.sock is not None
        self._add_due_body()
        rest = memoryview(self.unsent)
        try:
            while rest:
                rest = rest[self.sock.send(rest) :]
        except (BrokenPipeError, ConnectionResetError):
            # An answer may have arrived before the connection broke.
            rest, self.broken = memoryview(b""), True
            self.body_sent = len(self.body)
        except BlockingIOError:
            pass  # an answer may arrive before the whole request was sent
        self.unsent = bytes(rest)

    def _add_due_body(self) -> None:
        """Add to what is sent the part of a slow body that is due by now."""
        if self.request is None or not self.traffic.body_s or not self.body:
            return
        passed = (time.monotonic() - self.request.began) / self.traffic.body_s
        if pieces := self.traffic.body_pieces:
            passed = int(passed * pieces) / pieces
        due = min(len(self.body), int(len(self.body) * passed))
        if due > self.body_sent:
            self.unsent += self.body[self.body_sent : due]
            self.body_sent = due

    def _receive(self) -> None:
        assert self.sock is not None
        while not (self.answer.complete and self._was_sent()):
            piece = self.sock.recv(262_144)
            if piece:
                self.answer.feed(piece)
            elif self.answer.end():
                break
            elif self.answer.began:
                self._end("truncated", f"after {len(self.answer.body)} bytes of body")
                return
            elif self.broken:  # an earlier call has taken the error off the socket
                raise OSError(errno.ECONNRESET, "ECONNRESET")
            else:
                self._end("closed", "without an answer")
                return
        self._judge()

    def _was_sent(self) -> bool:
        """Return whether all of the request was sent: an answer may be earlier."""
        return not self.unsent and self.body_sent == len(self.body)

    def _watch(self) -> None:
        if self.sock is None:
            return
        events = selectors.EVENT_READ
        if self.request is not None and self.unsent:
            events |= selectors.EVENT_WRITE
        self.target.selector.modify(self.sock, events, self)

    def _was_closed(self) -> bool:
        assert self.sock is not None
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _pause_s(self) -> float:
        """Return how long to wait with the next request."""
        traffic = self.traffic
        pause_s = traffic.pause_s
        if traffic.longest_pause_s > pause_s:
            pause_s = random.uniform(pause_s, traffic.longest_pause_s)
        return pause_s if traffic.unresting else max(pause_s, PACE_S)

    # --- the end of a request -----------------------------------------------------------

    def _judge(self) -> None:
        assert self.request is not None
        self.request.status = self.answer.status
        self.request.version = fates.version(self.answer)
        self.request.instance = fates.instance(self.answer)
        number = self.request.number
        self._end(*fates.judge(self.traffic, number, self.body, self.answer))

    def _lose(self, error: OSError) -> None:
        self._end(fates.of_error(error, began=self.answer.began), str(error))

    def _end(self, fate: str, detail: str) -> None:
        request = self.request
        assert request is not None
        request.fate, request.detail = fate, detail
        request.ended = time.monotonic()
        request.closes = self.answer.closes
        self.request = None
        self.resume_at = request.ended + self._pause_s()
        if self.traffic.every_s:
            self.resume_at = request.due + self.traffic.every_s
        if fate != ANSWERED:
            # Without a pause a dead port would be asked thousands of times a second.
            self.resume_at = max(self.resume_at, request.ended + 0.01)
        if fate != ANSWERED or not self.traffic.keep_alive or self.answer.closes:
            self.hang_up()
        else:
            self._watch()
        self.ledger.note(request)
