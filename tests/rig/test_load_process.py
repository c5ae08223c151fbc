"""A load in a process of its own: who waits for its clients hears that they ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rig.load import engine
from rig.load.process import run_load
from rig.wait import until


class _Release(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer as the first release."""
        body = b"release 1 pid 1"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Run a server, and return its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Release) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_who_waits_for_clients_hears_that_they_ended(port: int) -> None:
    """At once, and not that the release did not answer; what came before counts."""
    with run_load(port, engine.NEW, seconds=0.2) as load:
        load.wait_for_version("1")
        with pytest.raises(AssertionError, match=r"ended by themselves.*answer of 2"):
            load.wait_for_version("2", timeout_s=600)
        with pytest.raises(AssertionError, match="more answers"):
            load.wait_for(1, timeout_s=600)
        load.wait_for_version("1")
        assert load.stop().lost == 0


def test_clients_that_go_on_are_waited_for(port: int) -> None:
    """Then it is the release that did not answer."""
    with run_load(port, engine.NEW) as load:
        until(load.answered, "an answer")
        with pytest.raises(AssertionError, match=r"not within .* answer of 2"):
            load.wait_for_version("2", timeout_s=0.1)
