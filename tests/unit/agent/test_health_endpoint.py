"""What the health endpoint answers, over real sockets, from lists that the test makes."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gapless.agent.app_listing import AppListing, Ask
from gapless.agent.health import sockets
from gapless.agent.health.answer import health_of
from gapless.agent.health.endpoint import HealthEndpoint
from gapless.base.errors import MisuseError, UnavailableError


def listed(
    status: str = "online",
    *,
    ready: int = 1,
    draining: bool = False,
    mode: str = "serving",
) -> dict[str, Any]:
    """Return what a supervisor lists."""
    row = {
        "name": "app",
        "status": status,
        "instances": {"ready": ready, "wanted": 1},
        "modes": [mode],
    }
    return {"apps": [row], "supervisor": {"draining": draining}}


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (listed(), 200),
        (listed("reloading"), 200),
        (listed("draining"), 200),  # an older generation finishes
        (listed(mode="handoff"), 200),
        (listed(draining=True), 404),
        (listed(draining=True, mode="recycle"), 404),
        (listed("recycling", ready=0), 404),
        (listed(mode="leaving"), 404),
        (listed("starting", ready=0), 503),
        (listed("gave up", ready=0), 503),
        (listed("stopped", ready=0), 503),
        (listed("stopped", ready=0, draining=True), 503),
        ({"apps": [], "supervisor": {"draining": False}}, 503),
        (None, 503),
    ],
)
def test_the_answer_follows_from_the_facts(
    shown: dict[str, Any] | None, status: int
) -> None:
    """404: send no new requests, what has begun is finished.  503: the app does not run."""
    assert health_of(shown, "app")[0] == status


@contextlib.contextmanager
def answering(ask: Ask, *apps: str) -> Iterator[int]:
    """Run a health endpoint on a port of loopback."""
    listing = AppListing(ask)
    listeners = sockets.listen("127.0.0.1:0")
    endpoint = HealthEndpoint(listeners, apps or ("app",), listing)
    try:
        yield endpoint.port
    finally:
        endpoint.close()
        listing.close()


def get(port: int, path: str = "/app", method: str = "GET") -> tuple[int, bytes]:
    """Send one request; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_is_asked_by_get_and_head_for_each_app() -> None:
    """GET and HEAD, for each app; an unknown path is 400: 404 has a meaning."""
    with answering(listed) as port:
        assert get(port) == (200, b"it serves\n")
        assert get(port, "/") == (200, b"it serves\n")
        assert get(port, "/app?x=1") == (200, b"it serves\n")
        assert get(port, method="HEAD") == (200, b"")
        assert get(port, "/other")[0] == 400
        assert get(port, method="POST")[0] == 400
    with answering(listed, "app", "a b") as port:
        assert get(port, "/")[0] == 400
        assert get(port, "/a%20b")[0] == 503


def test_a_change_is_told_at_once_or_soon() -> None:
    """A list is kept for a fraction of a second."""
    shown = [listed()]
    with answering(lambda: shown[0]) as port:
        assert get(port)[0] == 200
        shown[0] = listed(draining=True)
        until = time.monotonic() + 10
        while get(port)[0] != 404:
            assert time.monotonic() < until


def test_a_supervisor_that_does_not_answer_takes_no_host_out() -> None:
    """The app serves on and the last list stays valid; no client waits for long."""
    goes_on, asked = threading.Event(), threading.Event()
    stopped = threading.Event()

    def ask() -> dict[str, Any]:
        if stopped.is_set():
            asked.set()
            goes_on.wait(30)
        return listed()

    with answering(ask) as port:
        assert get(port)[0] == 200
        stopped.set()
        while not asked.is_set():
            assert get(port)[0] == 200
        for _ in range(20):
            assert get(port)[0] == 200
        goes_on.set()


def test_a_failure_to_ask_keeps_the_last_answer() -> None:
    """The last list stays valid; before the first one the answer is 503."""
    fails = threading.Event()
    fails.set()

    def ask() -> dict[str, Any]:
        if fails.is_set():
            raise UnavailableError("it is away")
        return listed()

    with answering(ask) as port:
        assert get(port)[0] == 503
        fails.clear()
        until = time.monotonic() + 10
        while get(port)[0] != 200:
            assert time.monotonic() < until
        fails.set()
        assert get(port)[0] == 200


def test_who_says_nothing_keeps_nobody_from_the_answer() -> None:
    """Silent clients do not keep the next one from its answer."""
    with answering(listed) as port, contextlib.ExitStack() as stack:
        for _ in range(16):
            silent = socket.create_connection(("127.0.0.1", port))
            stack.callback(silent.close)
        assert get(port)[0] == 200


@pytest.mark.parametrize("said", [b"\r\n\r\n", b"GET\r\n\r\n", b"x" * 20_000, b"\xff"])
def test_what_is_no_request_is_hung_up_on(said: bytes) -> None:
    """The connection is closed, and the next client is answered."""
    with answering(listed) as port:
        sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        with sock, contextlib.suppress(OSError):
            sock.sendall(said)
            assert sock.recv(100) == b""
        assert get(port)[0] == 200


def test_an_address_that_is_taken_is_named() -> None:
    """The error names the address that cannot be bound."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MisuseError, match=f"cannot answer balancers on {address}"):
            sockets.listen(address)
