"""The keeper becomes another version of itself: the same pid, and all that it had."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from gapless.base import clock
from gapless.keeper.seccomp.caller import duplicate
from gapless.supervisor.kernel import processes
from rig.hosts.keeper_line import KeeperLine, spawn
from rig.wait import free_port

KEY = "app/1/0/1"
TICKS = """
import os, sys, time
number = 0
while not os.path.exists(sys.argv[1]):
    os.write(1, b"line %d\\n" % number)
    number += 1
    time.sleep(0.0005)
sys.exit(7)
"""
BINDS = """
import socket, sys, time
sys.stdin.read(0)
sock = socket.socket()
sock.bind(("127.0.0.1", int(sys.argv[1])))
sock.listen()
time.sleep(1000)
"""


def until_event(keeper: KeeperLine, *names: str) -> dict[str, Any]:
    """Return the next event of these names."""
    while (message := keeper.receive())["event"] not in names:
        pass
    return message


def test_a_keeper_renews_itself(keeper: KeeperLine, tmp_path: Path) -> None:
    """Its child is its own still: how it ends is known, and all that it prints is there."""
    stop, log = tmp_path / "stop", tmp_path / "log"
    argv = [sys.executable, "-c", TICKS, str(stop)]
    files = {"output": str(log), "error": str(log), "format": "plain"}
    keeper.send(spawn(KEY, argv=argv, log=files))
    child = until_event(keeper, "spawned")["pid"]
    keeper.send({"op": "note", "name": "app/app", "value": {"version": 1}})
    table = processes.snapshot()
    guardian = table.rows[keeper.pid].parent
    for _ in range(3):
        keeper.send({"op": "renew"})
        answer = until_event(keeper, "renewed", "not_renewed")
        assert (answer["event"], answer["pid"]) == ("renewed", keeper.pid)
    table = processes.snapshot()
    assert table.rows[keeper.pid].parent == guardian
    assert table.rows[child].parent == keeper.pid
    stop.touch()
    assert until_event(keeper, "ended")["status"] == 7 << 8
    lines = log.read_text().splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    keeper.connect_again()
    known = [m for m in keeper.announced if m["event"] in ("note", "ended")]
    assert [m.get("value", m.get("status")) for m in known] == [{"version": 1}, 7 << 8]
    keeper.send({"op": "forget", "key": KEY})


@pytest.mark.soak
def test_a_version_that_does_not_start_changes_nothing(keeper: KeeperLine) -> None:
    """The keeper says why, and goes on as it is."""
    before = keeper.descriptors()
    for argv, reason in {
        ("/no/such/python",): "could not try /no/such/python",
        (sys.executable, "-c", "1/0"): "its trial failed: ZeroDivisionError",
    }.items():
        keeper.send({"op": "renew", "argv": argv})
        answer = until_event(keeper, "renewed", "not_renewed")
        assert answer["event"] == "not_renewed"
        assert reason in answer["reason"]
    keeper.until_answered()
    assert keeper.descriptors() == before


def test_a_call_that_waits_is_answered_after_a_renewal_and_a_death(
    keeper: KeeperLine,
) -> None:
    """What a keeper had received is not received again: it is known by its number."""
    port = free_port()
    argv = [sys.executable, "-c", BINDS, str(port)]
    keeper.send(spawn(KEY, argv=argv, filtered=True))
    first = until_event(keeper, "bind")
    keeper.send({"op": "renew"})
    until_event(keeper, "renewed")
    os.kill(keeper.pid, signal.SIGKILL)
    welcome = until_event(keeper, "welcome")
    assert welcome["pid"] != keeper.pid
    keeper.pid = welcome["pid"]
    again = until_event(keeper, "bind")
    assert (again["id"], again["port"]) == (first["id"], port)
    keeper.send({"op": "answer", "key": KEY, "id": again["id"], "action": "proceed"})
    listens = until_event(keeper, "listen")
    keeper.send({"op": "answer", "key": KEY, "id": listens["id"], "action": "proceed"})
    copy = duplicate(listens["pid"], listens["descriptor"])
    with socket.socket(fileno=copy) as sock:
        assert sock.getsockname() == ("127.0.0.1", port)
    os.kill(listens["pid"], signal.SIGKILL)
    assert until_event(keeper, "ended")["status"] == signal.SIGKILL


def test_a_keeper_that_has_removed_its_name_is_followed(keeper: KeeperLine) -> None:
    """It was about to end, and died before its guardian did: the next one ends both."""
    (keeper.home / "keeper.sock").unlink()
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.pid = until_event(keeper, "welcome")["pid"]
    keeper.until_answered()


def test_what_ended_while_no_keeper_lived_ended_before_the_next_one(
    keeper: KeeperLine,
) -> None:
    """How long it lived decides what its end means."""
    keeper.send(spawn(KEY, argv=["sleep", "1000"]))
    child = until_event(keeper, "spawned")["pid"]
    os.kill(keeper.pid, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    keeper.pid = until_event(keeper, "welcome")["pid"]
    began = processes.snapshot().rows[keeper.pid].start_ticks / os.sysconf("SC_CLK_TCK")
    ended = until_event(keeper, "ended")
    assert ended["status"] == signal.SIGKILL
    began += clock.monotonic() - clock.boottime()
    assert ended["at"] <= began + 2 / os.sysconf("SC_CLK_TCK")
    keeper.send({"op": "forget", "key": KEY})
