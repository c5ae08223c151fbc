"""One exchange between a real client and a real program, on one address of loopback."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from gapless.base import clock, wakeup
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.http import heads
from gapless.supervisor.relay.http.exchange import Exchange, Outcome
from rig import wait

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
GET_FORWARDED = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
CLOSE = b"Connection: close\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
MORE_THAN_BUFFERS = 7_000_000
"""What neither the kernel nor the relay holds for a program that does not read."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWER_RELAYED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def post(body_bytes: int, *lines: bytes) -> bytes:
    """Return the head of a request with a body of a length."""
    all_lines = (b"Content-Length: %d" % body_bytes, *lines)
    head = b"".join(line + b"\r\n" for line in all_lines)
    return b"POST / HTTP/1.1\r\n" + HOST + head + b"\r\n"


CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


def reset(sock: socket.socket) -> None:
    """Close a connection so that its peer gets an error."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_to_end(sock: socket.socket) -> bytes:
    """Return everything that comes until the end, which may be an error."""
    found = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(1 << 16):
            found += piece
    return bytes(found)


def read_until(sock: socket.socket, ending: bytes) -> bytes:
    """Return what comes, up to an ending."""
    found = bytearray()
    while not found.endswith(ending):
        piece = sock.recv(1 << 16)
        assert piece, found[:1000]
        found += piece
    return bytes(found)


Before = Callable[[socket.socket], object]


class Relayed:
    """A client whose request is carried by an exchange in a thread of its own."""

    def __init__(self, request: bytes, listens: bool, before: Before) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        self.listener.settimeout(10)
        self.client = socket.create_connection(self.listener.getsockname())
        self.client.settimeout(10)
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.taken = self.listener.accept()[0]
        if not listens:
            self.listener.close()
        self._selector = selectors.DefaultSelector()
        self._failures: list[Exception] = []
        self._stop = threading.Event()
        self.most_buffered = 0
        self.rounds = 0
        self.client.sendall(request)
        wait.until(lambda: sockets.unread(self.taken) >= len(request), "it came")
        waiting = self.taken.recv(heads.LARGEST_HEAD_BYTES, socket.MSG_PEEK)
        head = heads.judge(waiting)[1]
        assert head is not None
        it = self.exchange = Exchange(
            self._selector, self.taken, head, position=sockets.position(self.taken)
        )
        self._program = it._program  # noqa: SLF001 - whether it is closed at the end
        self._buffers = (it._to_program, it._to_client)  # noqa: SLF001 - what waits
        before(self.taken)
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        it = self.exchange
        while it.outcome is None and not self._stop.is_set():
            wakeup.call_ready(self._selector, 0.001, self._failures.append)
            it.tick(clock.monotonic())
            buffered = max(each.size for each in self._buffers)
            self.most_buffered = max(self.most_buffered, buffered)
            self.rounds += 1
        with contextlib.suppress(OSError):
            self.taken.shutdown(socket.SHUT_RDWR)
        assert self.taken not in self._selector.get_map()
        self.taken.close()

    def accept(self) -> socket.socket:
        """Return the program's end of the exchange."""
        sock = self.listener.accept()[0]
        sock.settimeout(10)
        return sock

    def outcome(self) -> Outcome:
        """Return how it ended, once the client has closed too."""
        self.client.close()
        self._thread.join(10)
        outcome = self.exchange.outcome
        assert outcome is not None
        return outcome

    def close(self) -> None:
        """End it, and check that it left nothing behind, and asked the program once."""
        self._stop.set()
        self._thread.join(10)
        self.client.close()
        self.taken.close()
        left = len(self._selector.get_map())
        self._selector.close()
        if self.exchange.outcome is not None:
            assert self._program.fileno() == -1
            assert left == 0
        self._program.close()
        if self.listener.fileno() != -1:
            self.listener.settimeout(0)
            with self.listener, contextlib.suppress(BlockingIOError):
                self.listener.accept()[0].close()
                raise AssertionError("the program was asked twice")
        assert self._failures == []


@contextlib.contextmanager
def relayed(
    request: bytes, *, listens: bool = True, before: Before = lambda _: None
) -> Iterator[Relayed]:
    """Return an exchange that is under way; *before* it began to read, call that."""
    it = Relayed(request, listens, before)
    try:
        yield it
    finally:
        it.close()
