"""Instances that hang: they are replaced one at a time, and what all share is not."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rig import wait
from rig.hosts.host import APPS, Host
from rig.hosts.usage import is_alive
from rig.matrix import matrix

APP = """
import http.server, os, sys, time
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/hang":
            time.sleep(1000)
        bad = self.path == "/health" and os.path.exists("bad")
        body = b"%d" % os.getpid()
        self.send_response(503 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
"""
SOON = "every_s = 0.2, failures = 2, timeout_s = 0.5"
HTTP = f'alive = {{ http = "/health", {SOON} }}'
LISTENING = f"alive = {{ {SOON} }}"


def _start(host: Host, alive: str, more: str = "") -> int:
    """Start the app; return its port."""
    port = wait.free_port()
    (host.directory / "app.py").write_text(APP)
    command = [sys.executable, "app.py", str(port)]
    host.configure(
        f"[app.app]\ncommand = {json.dumps(command)}\n{alive}\n"
        f"stop = {{ kill_timeout_s = 0.3 }}\n{more}\n"
    )
    host.start_file("gapless.toml", "app")
    return port


def _pids(host: Host) -> set[int]:
    return set(host.app("app")["pids"])


@contextmanager
def _hanging(port: int) -> Iterator[None]:
    """Let the instance hang that accepts a request; the client waits."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/hang")
        yield
    finally:
        connection.close()


def _replaced(host: Host, before: set[int]) -> set[int]:
    """Wait until an instance was replaced; return the pids of those that are new."""

    def done() -> bool:
        found = host.app("app")
        return found["restarts_by"] == {"liveness": 1} and (
            len(found["pids"]) == len(before)
        )

    wait.until(done, "the instance to be replaced", 30)
    return _pids(host) - before


@pytest.mark.parametrize("count", matrix([1, 2], 2))
def test_an_instance_that_hangs_is_replaced(host: Host, count: int) -> None:
    """Only that one; it is told, and counted as a restart."""
    port = _start(host, HTTP, f"instances = {count}")
    before = _pids(host)
    with _hanging(port):
        wait.until(lambda: host.row("app")["reason"], "it to be told", 30)
        assert len(_replaced(host, before)) == 1
    found = host.app("app")
    assert (found["restarts"], found["reason"]) == (1, None)
    assert sum(is_alive(pid) for pid in before) == count - 1


def test_a_port_that_does_not_answer_is_enough(host: Host) -> None:
    """Without HTTP: no connection is accepted of a process that is stopped."""
    _start(host, LISTENING)
    (stopped,) = before = _pids(host)
    os.kill(stopped, signal.SIGSTOP)
    assert len(_replaced(host, before)) == 1
    assert not is_alive(stopped)


def _shown(host: Host) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = host.app("app")["instances_detail"]
    return found


def test_where_all_fail_nobody_ends(host: Host) -> None:
    """A few successors are tried, which fail too; then they answer again."""
    _start(host, HTTP, "instances = 2\nrestart = { max = 1 }")
    before = _pids(host)
    bad = host.directory / "bad"
    bad.touch()
    wait.until(lambda: "gave up" in (host.row("app")["reason"] or ""), "the end", 60)
    wait.until(lambda: _pids(host) == before, "the last successor to be gone", 30)
    assert host.app("app")["restarts"] == 0
    bad.unlink()
    wait.until(lambda: host.row("app")["reason"] is None, "them to answer again", 30)
    # One that answers first lets the other be replaced, if that is asked for a last time.
    wait.until(lambda: len(_pids(host)) == 2, "two of them", 30)


def test_a_successor_is_known_to_the_next_supervisor(host: Host) -> None:
    """It takes the place of the one that it was started for, and nobody is left over."""
    _start(host, HTTP, "restart = { max = 100 }")
    (first,) = _pids(host)
    bad = host.directory / "bad"
    bad.touch()
    wait.until(lambda: len(_shown(host)) == 2, "a successor", 30)
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    bad.unlink()
    host.start_supervisor()
    wait.until(lambda: len(_shown(host)) == 1, "one of both to go", 30)
    (left,) = _pids(host)
    assert is_alive(left)
    if left != first:
        assert host.app("app")["restarts_by"] == {"liveness": 1}


def test_a_successor_that_would_write_the_same_file_is_killed(host: Host) -> None:
    """It is looked at as a new generation is; then the one that hangs is left alone."""
    state = host.directory / "state"
    app = APPS / "state" / "holds_file.py"
    variables = f'PORT = "{wait.free_port()}", RELEASE = "1", HOLDS = "write"'
    host.configure(
        f"[app.app]\ncommand = {json.dumps([sys.executable, str(app)])}\n{LISTENING}\n"
        f'environment = {{ {variables}, STATE = "{state}" }}\n'
    )
    host.start_file("gapless.toml", "app")
    (stopped,) = _pids(host)
    os.kill(stopped, signal.SIGSTOP)
    named = f"its successor both have {state} open for writing"
    wait.until(lambda: named in (host.row("app")["reason"] or ""), "the word", 30)
    wait.until(lambda: len(_shown(host)) == 1, "the successor to be gone", 30)
    assert "overlap = false" in host.app("app")["hint"]
    os.kill(stopped, signal.SIGCONT)
    wait.until(lambda: host.row("app")["reason"] is None, "it to answer", 30)
    assert _pids(host) == {stopped}
    assert state.read_text() == ""  # a stop signal would have let the successor write
    assert host.app("app")["restarts"] == 0
