"""Answer balancers about the apps of this host.

    200   the app serves here
    404   it still serves, but leaves: send no new requests (HAProxy's disable-on-404)
    503   it does not run

A few threads each have one connection at a time, for a second at most: a client that is too
slow, or that asks too often, delays the answers to others only briefly.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Sequence
from urllib.parse import quote, unquote

from gapless.agent.address import split
from gapless.agent.app_listing import AppListing
from gapless.agent.observation import Listed
from gapless.base import clock
from gapless.base.errors import MisuseError

THREADS = 8
CONNECTION_S = 1.0
LONGEST_HEAD_BYTES = 8192
RETRY_S = 0.2
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}


def health_of(listed: Listed | None, app: str) -> tuple[int, str]:
    """Return the HTTP status for an app, and the reason.  Pure."""
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
    """Return the path that a balancer asks for about an app."""
    return f"/{quote(app)}"


class HealthEndpoint:
    """Answers balancers on one address, until closed."""

    def __init__(self, address: str, apps: Sequence[str], listing: AppListing) -> None:
        """Listen.  Raises MisuseError if the address cannot be bound."""
        self._apps, self._listing = tuple(apps), listing
        self._sock = _listen(address)
        self._threads = [
            threading.Thread(target=self._serve, daemon=True) for _ in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._sock.getsockname()[1])

    def close(self) -> None:
        """Stop listening; requests under way are answered."""
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
                    self._answer(sock)
                except (OSError, ValueError):
                    continue  # the client hung up, or was too slow

    def _answer(self, sock: socket.socket) -> None:
        method, path = _read_request(sock)
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
            # Not 404, which has a meaning for the balancer.
            return 400, f"ask for {', '.join(map(path_of, self._apps))}"
        return health_of(self._listing.listed(), app)


def _read_request(sock: socket.socket) -> tuple[str, str]:
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
        family, kind, _, _, own = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(own)
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
