"""A server behind a balancer that serves, refuses, is silent, breaks off or is away."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVES, DRAINS, FAILS = "serves", "drains", "fails"
BREAKS, SILENT = "breaks", "silent"
SWITCH = (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: {accept}\r\n\r\n"
)


class Backend(ThreadingHTTPServer):
    """A server of loopback; *mode* may be changed at any time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, mode: str = SERVES, port: int = 0) -> None:
        """Listen, on a port of the kernel's choice if none is named."""
        super().__init__(("127.0.0.1", port), _Line)
        self.mode = mode
        self.begun: Counter[str] = Counter()
        """How often each request was begun, by its number."""
        self.of_connections: list[int] = []
        """How many requests each connection has carried."""
        self.released = threading.Event()

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: balancers hang up."""


class _Line(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def setup(self) -> None:
        super().setup()
        self.number = len(self.server.of_connections)
        self.server.of_connections.append(0)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def answer(self) -> None:
        """Take the request with its body, and do what the mode says."""
        self.server.of_connections[self.number] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        mode = self.server.mode
        if mode == DRAINS:
            self.send_response(503)
            self.send_header("Gapless-Drain", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.headers.get("Upgrade") == "websocket":
            self._echo()
            return
        number = self.headers.get("X-Request-Number")
        if number is not None:  # a check of a balancer has none
            self.server.begun[number] += 1
        if mode == SILENT:
            self.server.released.wait(30)
        if mode in (BREAKS, SILENT):
            self.close_connection = True
            return
        self.send_response(502 if mode == FAILS else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815 - names of http.server

    def _echo(self) -> None:
        """Send back what comes, as a server of websockets does once it has switched."""
        self.close_connection = True
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.wfile.write(SWITCH.format(accept=accept).encode())
        while data := self.connection.recv(4096):
            self.connection.sendall(data)


@contextmanager
def backends(*modes: str, port: int = 0) -> Iterator[list[Backend]]:
    """Run servers until the block ends; a single one may have a port of its own."""
    with contextlib.ExitStack() as stack:
        found = []
        for mode in modes:
            server = stack.enter_context(Backend(mode, port))
            stack.callback(server.shutdown)
            stack.callback(server.released.set)
            threading.Thread(target=server.serve_forever, args=(0.05,)).start()
            found.append(server)
        yield found


@contextmanager
def without_power() -> Iterator[str]:
    """Yield an address that answers no packet: its queue is full, and the kernel drops."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"
