"""Answer Prometheus over HTTP.

Rule 1: at most `MOST` connections are open; one more, and the oldest is closed.  Its
thread may take a while to end: beyond `MOST_THREADS` of them a connection is refused.
Rule 2: a connection has `HEAD_S` for its request and `SEND_S` to take the answer.
Rule 3: each answer ends its connection, so that the next scrape reaches the generation
that serves then.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable

from gapless.base import clock
from gapless.base.errors import MisuseError
from gapless.base.kernel import listening

MOST = 16
MOST_THREADS = 2 * MOST
ROOM_S = 0.5
"""How long a connection waits for a thread to end."""
HEAD_S = 2.0
SEND_S = 10.0
LONGEST_HEAD_BYTES = 16 << 10
BACKLOG = 128
DEFAULT_PORT = "9469"

Answer = Callable[[str], tuple[bytes, str]]
"""Returns the body and its content type, from the header Accept."""


def listen(address: str) -> socket.socket:
    """Listen on `[HOST:]PORT`; without a host on loopback.  Raises MisuseError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    try:
        if not (port.isascii() and port.isdigit() and int(port[:6]) < 1 << 16):
            raise ValueError(f"{port!a} is no port")
        place = listening.find("" if host == "*" else host, port)
        return listening.listen(place, BACKLOG)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MisuseError(
            f"cannot listen for scrapes on {address[:80]!a}: {reason}",
            hint="gapless metrics --listen [HOST:]PORT; `*:PORT` is every address",
        ) from error


class Endpoint:
    """Listens on one address, until told to end."""

    def __init__(self, listener: socket.socket, answer: Answer) -> None:
        self._listener, self._answer = listener, answer
        self._open: dict[socket.socket, threading.Thread] = {}
        self._threads = 0
        self._lock = threading.Lock()
        self._has_ended = threading.Condition(self._lock)

    @property
    def address(self) -> str:
        """Where it listens, for people."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def run(self, ends: socket.socket) -> None:
        """Answer until *ends* is readable; what has connected by then is answered."""
        while not self._is_ready(ends):
            self._accept_all()
        self._accept_all()
        self._listener.close()
        with self._lock:
            left = list(self._open.values())
        for thread in left:
            thread.join(HEAD_S + SEND_S)

    def _is_ready(self, ends: socket.socket) -> bool:
        ready, _, _ = select.select([ends, self._listener], [], [])
        return ends in ready

    def _accept_all(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                # No descriptor is left, or the client has gone.
                with self._lock:
                    self._close_oldest()
                select.select([], [], [], 0.05)
                return
            if not self._admit(sock):
                sock.close()
                return

    def _admit(self, sock: socket.socket) -> bool:
        """Answer a connection in a thread of its own; False if there can be none."""
        thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
        with self._lock:
            if len(self._open) >= MOST:
                self._close_oldest()
            if not self._has_ended.wait_for(
                lambda: self._threads < MOST_THREADS, ROOM_S
            ):
                return False
            try:
                thread.start()
            except RuntimeError:  # the system has none left
                return False
            self._threads += 1
            self._open[sock] = thread
            return True

    def _close_oldest(self) -> None:
        """Wake the thread of the oldest connection, which ends then."""
        if self._open:
            oldest = next(iter(self._open))
            del self._open[oldest]
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock, contextlib.suppress(OSError, ValueError):
                head = _head(sock)
                sock.settimeout(SEND_S)
                sock.sendall(self._response(head))
        finally:
            with self._lock:
                self._open.pop(sock, None)
                self._threads -= 1
                self._has_ended.notify()

    def _response(self, head: str) -> bytes:
        first, *lines = head.splitlines()
        method, path, *_ = [*first.split(" "), "", ""]
        path = path.partition("?")[0]
        if method not in ("GET", "HEAD"):
            status, body, kind = (
                "405 Method Not Allowed",
                b"GET or HEAD\n",
                "text/plain",
            )
        elif path == "/metrics":
            pairs = (line.partition(":") for line in lines)
            accept = {name.lower(): value.strip() for name, _, value in pairs}
            body, kind = self._answer(accept.get("accept", ""))
            status = "200 OK"
        else:
            status, kind = "404 Not Found", "text/plain"
            body = b"the metrics are at /metrics\n"
        start = (
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        return start.encode() + (b"" if method == "HEAD" else body)


def _head(sock: socket.socket) -> str:
    """Return the head of a request.  Raises OSError, ValueError."""
    until = clock.monotonic() + HEAD_S
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        sock.settimeout(max(0.001, until - clock.monotonic()))
        piece = sock.recv(4096)
        if not piece or len(head) > LONGEST_HEAD_BYTES:
            raise ValueError("this is no request")
        head += piece
    return head.decode("latin-1")
