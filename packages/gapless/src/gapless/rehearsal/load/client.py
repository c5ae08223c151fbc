"""One client of a load: it sends each request once, whatever becomes of it."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from gapless.base import clock
from gapless.rehearsal.load.answer import Answer, NoHttpError
from gapless.rehearsal.load.model import (
    ANSWERED,
    CLOSED,
    NO_HTTP,
    REFUSED,
    RESET,
    TIMED_OUT,
    TRUNCATED,
    UNREACHABLE,
    Request,
    Traffic,
)

_FATES = {
    errno.ECONNREFUSED: REFUSED,
    errno.ENOENT: REFUSED,  # of a path
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.ETIMEDOUT: TIMED_OUT,
}
PAUSE_AFTER_LOSS_S = 0.02
"""Else a port where nobody listens would be asked thousands of times a second."""
_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an app listens."""

    family: int
    address: tuple[str, int] | str
    """A path is that of a Unix-domain socket."""

    @property
    def host(self) -> str:
        """What the Host of a request says."""
        if isinstance(self.address, str):
            return "localhost"
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Client:
    """One client, as a state machine on one connection at a time."""

    def __init__(
        self,
        place: Place,
        traffic: Traffic,
        selector: selectors.BaseSelector,
        *,
        first_at: float,
        ended: Callable[[Request], None],
    ) -> None:
        """Begin at *first_at*; *ended* gets each request when its fate is known."""
        self._place, self._traffic, self._selector = place, traffic, selector
        self._ended, self.resume_at = ended, first_at
        self.request: Request | None = None
        self._sock: socket.socket | None = None
        self._answer = Answer()
        self._unsent = self._body = b""
        self._sent_of_body = 0
        self._is_broken = False
        self._count = 0

    # --- what the loop calls ----------------------------------------------------------

    def begin(self, number: int, now: float) -> None:
        """Send the next request, on the open connection or on a new one."""
        if self._sock is not None and _is_closed(self._sock):
            self.hang_up()  # noticed before a byte was sent
        traffic = self._traffic
        path = traffic.paths[self._count % len(traffic.paths)]
        self._count += 1
        self.request = Request(
            number=number,
            kind=traffic.kind,
            path=path,
            began=now,
            due=self.resume_at,
            is_reused=self._sock is not None,
        )
        self._answer, self._is_broken = Answer(), False
        self._body, self._sent_of_body = traffic.body, 0
        self._unsent = self._head(path)
        if self._sock is None:
            self._connect()
        else:
            self.go_on()

    def go_on(self) -> None:
        """Go on, since the socket is ready, or a part of the body is due."""
        if self.request is None:
            self.hang_up()  # the app has closed an idle connection, which it may
            return
        assert self._sock is not None
        try:
            if number := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, "")
            self._send(self._sock)
            self._receive(self._sock)
        except BlockingIOError:
            self._watch()
        except NoHttpError as error:
            self._end(NO_HTTP, str(error))
        except OSError as error:
            self._lose(error)

    def wait_s(self, now: float) -> float:
        """Return after how many seconds this client has something to do by itself."""
        if self.request is None:
            return self.resume_at - now
        if self._sent_of_body < len(self._body):
            return 0.02
        return self.request.began + self._traffic.timeout_s - now

    def tick(self, now: float) -> None:
        """Do what is due in a request that is under way."""
        if self.request is None:
            return
        if now >= self.request.began + self._traffic.timeout_s:
            self._end(TIMED_OUT, f"no answer in {self._traffic.timeout_s:g} s")
        elif self._sent_of_body < len(self._body) and not self._is_connecting():
            self.go_on()

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._sock is not None:
            if self._sock in self._selector.get_map():
                self._selector.unregister(self._sock)
            self._sock.close()
            self._sock = None

    # --- the connection ---------------------------------------------------------------

    def _head(self, path: str) -> bytes:
        traffic = self._traffic
        fields = {
            "host": self._place.host,
            "user-agent": "gapless-rehearse",
            "accept": "*/*",
        }
        if traffic.body:
            fields["content-type"] = "text/plain"
        fields |= {name.lower(): value for name, value in traffic.headers}
        fields["connection"] = "keep-alive" if traffic.is_kept else "close"
        if traffic.body:
            fields["content-length"] = str(len(traffic.body))
        lines = [f"{traffic.method} {path} HTTP/1.1"]
        lines += [f"{name.title()}: {value}" for name, value in fields.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _connect(self) -> None:
        place = self._place
        try:
            self._sock = socket.socket(place.family, socket.SOCK_STREAM)
        except OSError as error:
            self._lose(error)
            return
        self._sock.setblocking(False)
        number = self._sock.connect_ex(place.address)
        if number not in (0, errno.EINPROGRESS, errno.EAGAIN):
            self._lose(OSError(number, ""))
            return
        self._selector.register(self._sock, selectors.EVENT_WRITE, self)

    def _is_connecting(self) -> bool:
        if self._sock is None:
            return True
        try:
            self._sock.getpeername()
        except OSError:
            return True
        return False

    def _send(self, sock: socket.socket) -> None:
        self._add_due_body()
        try:
            while self._unsent:
                self._unsent = self._unsent[sock.send(self._unsent) :]
        except BlockingIOError:
            return  # an answer may come before the whole request was sent
        except (BrokenPipeError, ConnectionResetError):
            # An answer may have come before the connection broke.
            self._unsent, self._is_broken = b"", True
            self._sent_of_body = len(self._body)

    def _add_due_body(self) -> None:
        """Add the part of a slow body that is due by now."""
        request = self.request
        if request is None or self._sent_of_body == len(self._body):
            return
        passed = (clock.monotonic() - request.began) / (self._traffic.body_s or 1e-9)
        due = min(len(self._body), int(len(self._body) * passed))
        self._unsent += self._body[self._sent_of_body : due]
        self._sent_of_body = max(due, self._sent_of_body)

    def _receive(self, sock: socket.socket) -> None:
        while not (self._answer.is_complete and self._need_not_send()):
            piece = sock.recv(_PIECE_BYTES)
            if piece:
                self._answer.feed(piece)
            elif self._answer.at_end():
                break
            elif self._answer.has_begun:
                self._end(TRUNCATED, f"after {self._answer.body_bytes} bytes of body")
                return
            elif self._is_broken:
                raise OSError(errno.ECONNRESET, "")
            else:
                self._end(CLOSED, "without an answer")
                return
        self._end(ANSWERED, "")

    def _need_not_send(self) -> bool:
        """Return whether all was sent, or the app closes: no more is wanted then."""
        was_sent = not self._unsent and self._sent_of_body == len(self._body)
        return was_sent or self._answer.closes

    def _watch(self) -> None:
        if self._sock is not None:
            events = selectors.EVENT_READ
            if self.request is not None and self._unsent:
                events |= selectors.EVENT_WRITE
            self._selector.modify(self._sock, events, self)

    # --- the end of a request ---------------------------------------------------------

    def _lose(self, error: OSError) -> None:
        number = error.errno or 0
        fate = _FATES.get(number, UNREACHABLE)
        if fate == RESET:
            self._read_rest()
            if self._answer.is_complete:
                self.hang_up()
                self._end(ANSWERED, "")
                return
            if self._answer.has_begun:
                fate = TRUNCATED
        self._end(fate, errno.errorcode.get(number, str(error)))

    def _read_rest(self) -> None:
        """Read what has come before a connection was reset."""
        if self._sock is not None:
            with contextlib.suppress(OSError, NoHttpError):
                while piece := self._sock.recv(_PIECE_BYTES):
                    self._answer.feed(piece)

    def _end(self, fate: str, detail: str) -> None:
        request = self.request
        assert request is not None
        request.fate, request.detail = fate, detail
        request.status, request.ended = self._answer.status, clock.monotonic()
        self.request = None
        self.resume_at = request.due + self._traffic.every_s
        if fate != ANSWERED:
            self.resume_at = max(self.resume_at, request.ended + PAUSE_AFTER_LOSS_S)
        if fate != ANSWERED or not self._traffic.is_kept or self._answer.closes:
            self.hang_up()
        else:
            self._watch()
        self._ended(request)


def _is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
