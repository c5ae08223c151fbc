"""One client of a load, which repeats nothing and forgives nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import selectors
import socket
import time
from dataclasses import dataclass

from rig.load.http1 import Answer, ProtocolError
from rig.load.ledger import Ledger
from rig.load.traffic import (
    ANSWERED,
    Request,
    Traffic,
)

PACE_S = float(os.environ.get("RIG_PACE_S") or 0)
"""What every client rests at least between two requests."""
_VERSION = re.compile(rb'release (\S+)|"release":"(?:[^"]*/)?([^/"]+)"')
_PID = re.compile(rb"pid\W{1,3}(\d+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a load goes, and who waits for its sockets."""

    host: str
    port: int
    selector: selectors.BaseSelector


class Client:
    """One client of one traffic, as a state machine on one connection at a time."""

    def __init__(self, place: Place, ledger: Ledger, traffic: Traffic) -> None:
        self.place, self.ledger, self.traffic = place, ledger, traffic
        self.sock: socket.socket | None = None
        self.request: Request | None = None
        self.resume_at = 0.0
        self.broken = False
        self._used = 0

    def begin(self, now: float) -> None:
        """Send the next request, on the open connection or on a new one."""
        traffic = self.traffic
        if self.sock is not None and self._was_closed():
            self.hang_up()  # closed while idle, and seen before a byte was written
        number = self.ledger.next_number()
        self.request = Request(number, traffic.kind, now, reused=self.sock is not None)
        self.answer = Answer(head_only=traffic.method == "HEAD")
        self.body = _body(number, traffic.body_bytes)
        self.unsent = self._head(number)
        self.body_sent = 0
        self.broken = False
        if not traffic.body_s:
            self.unsent += self.body
            self.body_sent = len(self.body)
        if self.sock is None:
            self._connect()
        else:
            self._go_on()

    def _head(self, number: int) -> bytes:
        traffic, host = self.traffic, self.place.host
        host = f"[{host}]" if ":" in host else host
        lines = [
            f"{traffic.method} {traffic.path} HTTP/1.1",
            f"Host: {host}:{self.place.port}",
            f"X-Request-Number: {number}",
            f"Connection: {'keep-alive' if traffic.keep_alive else 'close'}",
        ]
        if traffic.method == "POST":
            lines.append(f"Content-Length: {len(self.body)}")
            lines.append("Content-Type: application/octet-stream")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _connect(self) -> None:
        family = socket.AF_INET6 if ":" in self.place.host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._used = 0
        number = self.sock.connect_ex((self.place.host, self.place.port))
        if number not in (0, errno.EINPROGRESS):
            self._lose_by(OSError(number, errno.errorcode.get(number, "?")))
            return
        self.place.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def ready(self) -> None:
        """Go on where the socket lets us."""
        if self.request is None:
            self.hang_up()  # the peer closed an idle connection: its right
            return
        self._go_on()

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
            self._lose_by(error)

    def _send(self) -> None:
        assert self.sock is not None
        self._trickle()
        while self.unsent:
            try:
                sent = self.sock.send(self.unsent)
            except (BrokenPipeError, ConnectionResetError):
                # An answer may have arrived before the connection broke.
                self.unsent, self.broken = b"", True
                return
            self.unsent = self.unsent[sent:]

    def _trickle(self) -> None:
        """Let as much of a slow body go as its time has come for."""
        traffic = self.traffic
        if self.request is None or not traffic.body_s or not self.body:
            return
        passed = (time.monotonic() - self.request.began) / traffic.body_s
        due = min(len(self.body), int(len(self.body) * passed))
        if due > self.body_sent:
            self.unsent += self.body[self.body_sent : due]
            self.body_sent = due

    def _receive(self) -> None:
        assert self.sock is not None
        while True:
            piece = self.sock.recv(262_144)
            if piece:
                self.answer.feed(piece)
                if self.answer.complete:
                    self._judge()
                    return
                continue
            if self.answer.end():
                self._judge()
            elif self.answer.began:
                self._end("truncated", f"after {len(self.answer.body)} bytes of body")
            elif self.broken:  # whoever asked the socket first has taken its error
                raise OSError(errno.ECONNRESET, "ECONNRESET")
            else:
                self._end("closed", "without an answer")
            return

    def _judge(self) -> None:
        traffic, answer = self.traffic, self.answer
        assert self.request is not None
        self.request.status = answer.status
        body = bytes(answer.body)
        found = _VERSION.search(
            answer.headers.get("x-release", "").encode() + b" " + body[:200]
        )
        self.request.version = (
            b"".join(filter(None, found.groups())).decode(errors="replace")
            if found
            else ""
        )
        found = _PID.search(body[:200])
        self.request.instance = answer.headers.get("x-instance", "") or (
            found[1].decode() if found else ""
        )
        if answer.status not in traffic.expected:
            self._end("status", f"{answer.status} {body[:60]!r}")
        elif traffic.echoes and body != self.body:
            self._end("wrong", f"echoed {len(body)} bytes of {len(self.body)}")
        elif traffic.answer_bytes not in (None, len(body)):
            self._end("wrong", f"{len(body)} bytes of body")
        else:
            self._end(ANSWERED, "")

    def _lose_by(self, error: OSError) -> None:
        fate = {
            errno.ECONNREFUSED: "refused",
            errno.ECONNRESET: "reset",
            errno.EPIPE: "reset",
            errno.ETIMEDOUT: "time-out",
        }.get(error.errno or 0, "unreachable")
        if fate == "reset" and self.answer.began:
            fate = "truncated"
        self._end(fate, str(error))

    def overdue(self, now: float) -> bool:
        """End a request that has taken too long."""
        request = self.request
        if request is None or now < request.began + self.traffic.timeout_s:
            return False
        self._end("time-out", f"{self.traffic.timeout_s:g} s")
        return True

    def _end(self, fate: str, detail: str) -> None:
        request = self.request
        assert request is not None
        request.fate, request.detail = fate, detail
        request.ended = time.monotonic()
        self.request = None
        self._used += 1
        self.resume_at = request.ended + max(self.traffic.pause_s, PACE_S)
        if fate != ANSWERED:
            # A client that meets a dead port at full speed would only count itself.
            self.resume_at = max(self.resume_at, request.ended + 0.01)
        if fate != ANSWERED or not self.traffic.keep_alive or self.answer.closes:
            self.hang_up()
        else:
            self._watch()
        self.ledger.note(request)

    def _watch(self) -> None:
        if self.sock is None:
            return
        events = selectors.EVENT_READ
        if self.request is not None and self.unsent:
            events |= selectors.EVENT_WRITE
        self.place.selector.modify(self.sock, events, self)

    def _was_closed(self) -> bool:
        assert self.sock is not None
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self.sock is not None:
            if self.sock in self.place.selector.get_map():
                self.place.selector.unregister(self.sock)
            self.sock.close()
            self.sock = None


def _body(number: int, size: int) -> bytes:
    if not size:
        return b""
    seed = hashlib.sha256(str(number).encode()).hexdigest().encode()
    return (seed * (size // len(seed) + 1))[:size]
