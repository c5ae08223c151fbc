"""What balancers are told of this host: 200, 404 or 503, from facts.

    200   the app serves here
    404   it serves on, but leaves: send nothing new (HAProxy's disable-on-404)
    503   it does not run

A few threads, each with one connection at a time and a second for it: whoever asks too
slowly, or too much, keeps nobody from the answer for long.  A supervisor that does not
answer says nothing about the app, which serves on: the last answer stands.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from gapless.agent.address import split
from gapless.base import clock
from gapless.base.errors import GaplessError, MisuseError

THREADS = 8
FRESH_S = 0.25
"""How old a fact may be that is told."""
PATIENCE_S = 0.4
"""How long a fact is waited for."""
CONNECTION_S = 1.0
LONGEST_HEAD_BYTES = 8192
RETRY_S = 0.2
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}

Listed = Mapping[str, Any]
Ask = Callable[[], Listed | None]
"""Asks for what the supervisor lists; None: there is none."""


def judge(listed: Listed | None, app: str) -> tuple[int, str]:
    """Return the status for an app, and why.  Pure."""
    rows = listed["apps"] if listed is not None else []
    row = next((each for each in rows if each["name"] == app), None)
    if listed is None or row is None:
        return 503, "it does not run here"
    if row["status"] in ("stopped", "stopping", "gave up"):
        return 503, str(row["status"])
    if listed["supervisor"]["draining"]:
        return 404, "this host leaves service"
    if row["status"] == "recycling" or {"leaving", "recycle"} & set(row["modes"]):
        return 404, "it is recycled"
    if not row["instances"]["ready"]:
        return 503, str(row["status"])
    return 200, "it serves"


def path_of(app: str) -> str:
    """Return what a balancer asks for about an app."""
    return f"/{quote(app)}"


class Facts:
    """What the supervisor lists, asked for when somebody wants to know."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._changed = threading.Condition()
        self._listed: Listed | None = None
        self._asked_at = self._told_at = -1.0
        """When the question and the last answer to it began; -1: never."""
        self._wanted = self._over = False
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def listed(self) -> Listed | None:
        """Return the facts, fresh ones if they can be had soon."""
        now = clock.monotonic()
        with self._changed:
            stuck = self._wanted and now >= self._asked_at + PATIENCE_S
            if now >= self._told_at + FRESH_S and not stuck:
                if not self._wanted:
                    self._wanted, self._asked_at = True, now
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._told_at >= now, PATIENCE_S)
            return self._listed

    def close(self) -> None:
        """Ask no more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _go_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._over)
                if self._over:
                    return
            try:
                listed, told = self._ask(), True
            except (GaplessError, OSError, ValueError):
                listed, told = None, False
            with self._changed:
                if told:
                    self._listed = listed
                # Also what is not known is not asked for again at once.
                self._told_at, self._wanted = clock.monotonic(), False
                self._changed.notify_all()


class HealthEndpoint:
    """Answers balancers on one address, until closed."""

    def __init__(self, address: str, apps: Sequence[str], facts: Facts) -> None:
        """Listen.  Raises MisuseError if that cannot be."""
        self._apps, self._facts = tuple(apps), facts
        self._sock = _listen(address)
        self._threads = [
            threading.Thread(target=self._serve, daemon=True) for _ in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._sock.getsockname()[1])

    def close(self) -> None:
        """Listen no more; who is being answered gets the answer."""
        self._sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._sock.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                if _is_closed(self._sock):
                    return
                select.select([], [], [], RETRY_S)  # no descriptor is free (EMFILE)
                continue
            with sock:
                try:
                    self._converse(sock)
                except (OSError, ValueError):
                    continue  # it hung up, or was too slow

    def _converse(self, sock: socket.socket) -> None:
        method, path = _request(sock)
        status, why = self._status(method, path)
        body = f"{why}\n".encode()
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
            "Connection: close\r\n\r\n"
        )
        sock.sendall(head.encode() + (body if method != "HEAD" else b""))

    def _status(self, method: str, path: str) -> tuple[int, str]:
        if method not in ("GET", "HEAD"):
            return 400, "GET or HEAD"
        app = unquote(path.partition("?")[0].removeprefix("/"))
        if not app and len(self._apps) == 1:
            app = self._apps[0]
        if app not in self._apps:
            # Not 404: that would mean something to the balancer.
            return 400, f"ask for {', '.join(map(path_of, self._apps))}"
        return judge(self._facts.listed(), app)


def _request(sock: socket.socket) -> tuple[str, str]:
    """Return method and path of a request.  Raises OSError, ValueError."""
    until = clock.monotonic() + CONNECTION_S
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left_s = until - clock.monotonic()
        if left_s <= 0 or len(head) > LONGEST_HEAD_BYTES:
            raise ValueError("no request")
        sock.settimeout(left_s)
        piece = sock.recv(4096)
        if not piece:
            raise ValueError("it hung up")
        head += piece
    sock.settimeout(CONNECTION_S)
    method, path, _ = head.split(b"\n", 1)[0].decode("latin-1").split(" ", 2)
    return method, path


def _listen(address: str) -> socket.socket:
    host, port = split(address)
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(place)
            sock.listen(256)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise MisuseError(
            f"cannot answer balancers on {address}: {error.strerror or error}",
            hint="gapless agent --health [HOST]:PORT, or health_listen = in the file",
        ) from error
    return sock


def _is_closed(sock: socket.socket) -> bool:
    return not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
