"""Every end that gapless brings about, under clients that never pause: nothing is lost.

A reload and its kin start a generation beside; `test_takeover.py` has those.  Here is what
ends an instance while others of its generation stay, or before the next one begins.
"""

from __future__ import annotations

import http.client
import os
import signal
from dataclasses import replace

import pytest

from rig import wait
from rig.fixtures.takeover import configuration
from rig.hosts.host import Host
from rig.hosts.usage import is_alive
from rig.load.fates import ANSWERED
from rig.load.process import run_load
from rig.load.unresting import GET, HUNG_S, PAUSING, POST
from rig.matrix import matrix
from rig.programs.numbered import Numbered

DRAIN_S = 60
CLIENTS = tuple(
    replace(each, timeout_s=2 * HUNG_S) for each in (replace(GET, concurrency=3), POST)
)
"""What they ask waits for the next instance, and that starts while others compute."""
PROGRAMS = ["node", "uvicorn", "threads", "gunicorn-gthread", "go", "waitress"]
QUICKLY = "alive = { every_s = 0.2, failures = 2, timeout_s = 0.5 }"


@pytest.mark.parametrize(
    ("program", "instances"),
    matrix(
        [(program, count) for program in PROGRAMS for count in (1, 3)],
        ("node", 1),
        ("threads", 3),
    ),
)
def test_a_recycle_loses_no_request_of_a_client_that_never_pauses(
    host: Host, program: str, instances: int
) -> None:
    """Each waits for another instance, or for the one that follows in its seat."""
    more = f"{configuration(DRAIN_S)}overlap = false\ninstances = {instances}"
    app = Numbered(host, program, more)
    app.start()
    traffics = (*CLIENTS, replace(PAUSING, timeout_s=2 * HUNG_S))
    with run_load(app.port, *traffics, ledger=app.ledger, seconds=900) as under_load:
        under_load.wait_for_version("1")
        report = app.release(2)
        under_load.wait_for_version("2")
        load = under_load.stop()
    assert load.fates.keys() == {ANSWERED}, str(load)
    assert not (different := app.difference(traffics)), different
    assert report["connections"]["cut"] == 0, report["connections"]
    assert report["connections"]["taken_over"] > 0, report
    stopping = [s["detail"] for s in report["steps"] if s["step"] == "stopping"]
    assert stopping[0].endswith("idle"), stopping


@pytest.mark.parametrize("overlap", matrix(['"auto"', "false"], '"auto"'))
def test_idle_connections_outlive_an_instance_that_hangs(
    host: Host, overlap: str
) -> None:
    """The next request on each is answered by another one."""
    more = f"{configuration(DRAIN_S)}overlap = {overlap}\ninstances = 2\n{QUICKLY}"
    app = Numbered(host, "tornado", more)  # it closes no idle connection
    app.start()
    clients = [_Client(app.port) for _ in range(8)]
    by_pid = {pid: [c for c in clients if c.pid == pid] for pid in _pids(host)}
    hung = max(by_pid, key=lambda pid: len(by_pid[pid]))
    assert by_pid[hung]
    os.kill(hung, signal.SIGSTOP)
    wait.until(lambda: not is_alive(hung), "the one that hangs to be replaced", 60)
    for client in clients:
        before = client.pid
        client.ask()
        assert (client.pid != before) == (before == hung)
        client.close()


class _Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._connection.connect()
        self._sock = self._connection.sock
        self.pid = 0
        self.ask()

    def ask(self) -> None:
        """Ask on that very connection who answers."""
        assert self._connection.sock is self._sock, "it was closed after an answer"
        self._connection.request("GET", "/")
        words = self._connection.getresponse().read().decode().split()
        self.pid = int(words[words.index("pid") + 1])

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def _pids(host: Host) -> set[int]:
    return set(host.app("app")["pids"])
