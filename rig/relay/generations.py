"""A generation that ends, the next one at its address, and a relay between them.

The old generation is `rig/apps/relay/kept_alive.py`, in a process of its own; the new one
is a thread of the test.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from gapless.base import clock, codec, wakeup, wire
from gapless.keeper.duplicate import duplicate
from gapless.supervisor.relay import holders, sockets
from gapless.supervisor.relay.connection import State
from gapless.supervisor.relay.messages import Aim
from gapless.supervisor.relay.takeover import Takeover
from rig import wait

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
NEW = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"
LONGEST_S = 20
"""After so long each connection was taken, also that of a client that never pauses."""
PROGRAM = str(Path(__file__).parent.parent / "apps" / "relay" / "kept_alive.py")


def get(path: str) -> bytes:
    """Return a request for a path."""
    return GET.replace(b"/ ", path.encode() + b" ", 1)


HIDDEN = get("/hidden").ljust(64, b"x") + b"\r\n\r\n"
"""A request that the old generation tells of, should it get it."""


def hiding(body_bytes: int) -> bytes:
    """Return a request whose body, of about a length, is all requests."""
    body = HIDDEN * (body_bytes // len(HIDDEN))
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"POST / HTTP/1.1\r\nHost: a.example\r\n" + length + body


@dataclass
class Old:
    """The old generation, and the new one behind the same address."""

    kind: str
    clients: list[socket.socket]
    process: subprocess.Popen[bytes]
    listener: socket.socket
    heard: list[bytes] = field(default_factory=list)
    """The requests that the new generation got."""
    asked: threading.Event = field(default_factory=threading.Event)
    """It got one."""
    answers: threading.Event = field(default_factory=threading.Event)
    """It answers them."""

    @property
    def between(self) -> State:
        """Return what is done while an answer rests: a thread is parked in recv(2)."""
        return State.PARKED if self.kind == "loop" else State.FREE

    def tell(self, word: bytes) -> None:
        """Let the program go on with an answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + b"\n")

    def aim(self) -> Aim:
        """Return what its relay is told."""
        return Aim(
            app="web",
            generation=1,
            pids=(self.process.pid,),
            ports=(self.listener.getsockname()[1],),
        )

    def marks(self) -> set[int]:
        """Return the marks of its connections."""
        found = set()
        for held_by in holders.sockets_of([self.process.pid]).values():
            with contextlib.suppress(OSError):
                sock = holders.connection_of(duplicate(*held_by[0]))
                if sock is not None:
                    found.add(sockets.mark_of(sock))
                    sock.close()
        return found

    def serve_new(self) -> None:
        """Be the new generation, until the listener is shut down."""
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            with sock, contextlib.suppress(ConnectionError):
                sock.settimeout(10)
                request = b""
                while piece := sock.recv(1 << 16):
                    request += piece
                    if b"\r\n\r\n" in request:
                        self.heard.append(request)
                        self.asked.set()
                        self.answers.wait(10)
                        sock.sendall(NEW)
                        break


@contextlib.contextmanager
def old(kind: str, count: int = 1, receive_buffer: int = 0) -> Iterator[Old]:
    """Start a program of a kind that has connections to some clients."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        if receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        process = subprocess.Popen(
            [sys.executable, PROGRAM, str(listener.fileno()), str(count), kind],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        clients = []
        for _ in range(count):
            client = stack.enter_context(
                socket.create_connection(listener.getsockname())
            )
            client.settimeout(10)
            clients.append(client)
        it = Old(kind, clients, process, listener)
        it.answers.set()
        assert process.stdout is not None
        assert process.stdout.read(1) == b"r"
        new = threading.Thread(target=it.serve_new)
        new.start()
        stack.callback(new.join)
        stack.callback(lambda: listener.shutdown(socket.SHUT_RDWR))
        stack.callback(it.answers.set)
        yield it


class Relaying:
    """A takeover that runs in a thread."""

    def __init__(self, aim: Aim) -> None:
        self._selector = selectors.DefaultSelector()
        self._failures: list[Exception] = []
        self.takeover = Takeover(
            self._selector,
            aim,
            lambda *_: None,
        )
        self._stop = threading.Event()
        self._rounds = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            wakeup.call_ready(self._selector, 0.001, self._failures.append)
            self.takeover.round(clock.monotonic())
            self._rounds += 1

    def wait_for_rounds(self, more: int) -> None:
        """Wait until it has looked at everything *more* times."""
        goal = self._rounds + more
        wait.until(lambda: self._rounds >= goal, f"{more} more rounds")

    def states(self) -> list[State]:
        """Return what is done with each connection that a process holds too."""
        return [each.state for each in self.takeover.connections.values()]

    def close(self) -> None:
        """Stop, and let go of everything."""
        self._stop.set()
        self._thread.join(10)
        for each in self.takeover.connections.values():
            each.fail()
        for alone in self.takeover.alone:
            alone.fail()
        left = len(self._selector.get_map())
        self._selector.close()
        assert self._failures == []
        assert left == 0


@contextlib.contextmanager
def relaying(
    it: Old, *, at_once: bool = False, holds: bool = False
) -> Iterator[Relaying]:
    """Take the connections of a generation."""
    found = Relaying(replace(it.aim(), at_once=at_once, holds=holds))
    try:
        yield found
    finally:
        found.close()


def exchange(client: socket.socket, request: bytes = GET) -> bytes:
    """Send a request; return the answer's body."""
    client.sendall(request)
    return read_answer(client)


def read_answer(client: socket.socket) -> bytes:
    """Return an answer's body, as long as all of them are."""
    found = b""
    while len(found.partition(b"\r\n\r\n")[2]) < 3:
        piece = client.recv(1 << 16)
        assert piece, f"it was closed after {found!r}"
        found += piece
    return found.partition(b"\r\n\r\n")[2]


def until_new(client: socket.socket) -> int:
    """Send requests until the new generation answers; return how many that were."""
    found = 0

    def is_new() -> bool:
        nonlocal found
        for _ in range(100):
            found += 1
            if exchange(client) == b"new":
                return True
        return False

    began = clock.monotonic()
    while not is_new():
        assert clock.monotonic() < began + LONGEST_S * wait.SLOWER, "it was never taken"
    assert client.recv(100) == b""  # it said that it is the last one
    return found


@contextlib.contextmanager
def relay_process(it: Old, *run: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a relay as the supervisor does, and tell it its aim.

    *run* is the module and its first arguments, if it is another one.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                *(run or ("gapless.supervisor.relay.run",)),
                str(theirs.fileno()),
            ],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            wire.Channel(ours).send({"op": "aim", **codec.encode(it.aim())})
            yield process
        finally:
            kill(process, it)


def kill(process: subprocess.Popen[bytes], it: Old) -> None:
    """Let a relay die; what it had stopped goes on, as the supervisor sees to."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    it.process.send_signal(signal.SIGCONT)
