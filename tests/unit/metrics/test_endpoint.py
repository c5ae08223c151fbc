"""The endpoint answers scrapes whatever else is sent to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gapless.base.errors import MisuseError
from gapless.metrics import endpoint
from gapless.metrics.endpoint import MOST, Endpoint, listen
from rig.wait import until


class Running:
    """An endpoint that runs in a thread."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        listener = listen("0")
        self.place = listener.getsockname()
        self._end, ends = socket.socketpair()
        self.endpoint = Endpoint(listener, self._answer)
        self._thread = threading.Thread(target=self.endpoint.run, args=(ends,))
        self._thread.start()
        self._ends = ends

    def _answer(self, accept: str) -> tuple[bytes, str]:
        self.accepted.append(accept)
        self.goes_on.wait(20)
        return b"gapless_up 1\n", "text/plain"

    def connect(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(self.place, 20)

    def exchange(self, content: bytes) -> bytes:
        """Send something; return all of the answer."""
        with self.connect() as sock:
            sock.sendall(content)
            return b"".join(iter(lambda: sock.recv(4096), b""))

    def close(self) -> None:
        """End it."""
        self._end.send(b"!")
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._end.close()
        self._ends.close()


@pytest.fixture
def running() -> Iterator[Running]:
    """Return an endpoint."""
    found = Running()
    yield found
    found.close()


def test_a_scrape_is_answered_and_its_connection_ends(running: Running) -> None:
    """The next scrape reaches the generation that serves then."""
    got = running.exchange(b"GET /metrics HTTP/1.1\r\nAccept: x/y\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in got
    assert got.endswith(b"\r\n\r\ngapless_up 1\n")
    assert running.accepted == ["x/y"]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404"),
        (b"GET /metrics/../etc/passwd HTTP/1.1", b"404"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"HEAD /metrics?x=1 HTTP/1.1", b"200"),
        (b"\xff\x00", b"405"),
    ],
)
def test_other_requests_are_refused(
    running: Running, request_line: bytes, status: bytes
) -> None:
    """By name, and at once."""
    got = running.exchange(request_line + b"\r\n\r\n")
    assert got.split(b" ")[1] == status
    assert not (b"HEAD" in request_line and b"gapless_up" in got)


def test_clients_that_send_nothing_keep_no_scrape_out(running: Running) -> None:
    """The oldest gives way."""
    idle = [running.connect() for _ in range(3 * MOST)]
    got = running.exchange(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200")
    assert idle[0].recv(1) == b""
    for each in idle:
        each.close()


def test_scrapes_without_an_answer_begin_no_threads_without_end(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a bound they are refused, and later ones are answered."""
    monkeypatch.setattr(endpoint, "ROOM_S", 0.01)
    before = threading.active_count()
    running.goes_on.clear()
    asked: list[socket.socket] = []
    while len(asked) < endpoint.MOST_THREADS:
        asked.append(running.connect())
        asked[-1].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        until(lambda: len(running.accepted) == len(asked), "it to wait for its answer")
    with running.connect() as refused:
        assert refused.recv(1) == b""
    assert threading.active_count() - before <= endpoint.MOST_THREADS
    running.goes_on.set()
    for each in asked:
        each.close()
    until(lambda: threading.active_count() <= before, "the end of the threads")
    assert running.exchange(b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 2")


def test_a_system_without_threads_ends_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed; the next one may have more luck."""
    with monkeypatch.context() as without:

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        without.setattr(threading.Thread, "start", refuse)
        with running.connect() as sock:
            assert sock.recv(1) == b""
    assert running.exchange(b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 2")


def test_a_head_without_an_end_is_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its size, not by its time."""
    monkeypatch.setattr(endpoint, "HEAD_S", 20.0)
    with running.connect() as sock:
        try:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 100_000)
            assert sock.recv(10) == b""
        except ConnectionError:
            pass  # it was closed with bytes unread


@pytest.mark.parametrize(
    "address", ["", "x", "1.2.3.4:x", "999999", "nowhere.invalid:1"]
)
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    """With what to type."""
    with pytest.raises(MisuseError, match="cannot listen for scrapes"):
        listen(address)


def test_without_a_host_it_is_loopback() -> None:
    """Nobody else reads the names of apps and releases."""
    with listen("0") as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
