"""A process that a child left behind takes its place with the keeper."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from rig import wait
from rig.hosts.keeper_line import KeeperLine, spawn

LEAVES = """
import os, signal, sys
read_end, write_end = os.pipe()
if os.fork() == 0:
    os.setsid()
    with open(sys.argv[1] + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".part", sys.argv[1])
    os.close(write_end)
    signal.pause()
os.close(write_end)
"""
"""Ends with 0 at once, and leaves a process behind."""
KEY = "app/1/0/1"


def _left_by_a_child(keeper: KeeperLine, where: Path) -> int:
    """Start a child that ends and leaves a process behind; return the pid of that."""
    keeper.send(spawn(argv=[sys.executable, "-c", LEAVES, str(where)]))
    assert keeper.receive()["event"] == "spawned"
    ended = keeper.receive()
    assert (ended["event"], ended["status"]) == ("ended", 0)
    wait.until(where.exists, "the process that is left behind")
    return int(where.read_text())


def _follow(keeper: KeeperLine, pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        keeper.send({"op": "follow", "key": KEY, "pid": pid}, pidfd)
    finally:
        os.close(pidfd)


def _shown(message: dict[str, Any]) -> tuple[Any, ...]:
    return message["event"], message.get("pid", message.get("status"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_how_a_follower_ends_is_reported(
    keeper: KeeperLine, tmp_path: Path, number: signal.Signals
) -> None:
    """A next supervisor is told of the follower too, with its pid."""
    before = keeper.descriptors()
    left = _left_by_a_child(keeper, tmp_path / "pid")
    _follow(keeper, left)
    assert _shown(keeper.receive()) == ("spawned", left)
    _follow(keeper, left)  # a supervisor that died meanwhile asks again
    assert _shown(keeper.receive()) == ("spawned", left)
    keeper.connect_again()
    assert [_shown(m) for m in keeper.announced] == [("spawned", left)]
    os.kill(left, number)
    assert _shown(keeper.receive()) == ("ended", number)
    keeper.send({"op": "forget", "key": KEY})
    assert keeper.until_answered() == []
    assert keeper.descriptors() == before


def test_a_follower_that_has_ended_meanwhile_is_reported_as_ended(
    keeper: KeeperLine, tmp_path: Path
) -> None:
    """The keeper has reaped it before it was to follow anybody; the kernel may know how."""
    left = _left_by_a_child(keeper, tmp_path / "pid")
    pidfd = os.pidfd_open(left)
    os.kill(left, signal.SIGTERM)
    wait.until(lambda: not Path(f"/proc/{left}").exists(), "it to be reaped")
    keeper.send({"op": "follow", "key": KEY, "pid": left}, pidfd)
    os.close(pidfd)
    assert _shown(keeper.receive()) == ("spawned", left)
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    status = signal.SIGTERM if release >= (6, 15) else None  # PIDFD_GET_INFO
    assert _shown(keeper.receive()) == ("ended", status)


def test_nobody_follows_a_child_that_lives_or_that_there_is_not(
    keeper: KeeperLine,
) -> None:
    """Both are answered, and nothing changes."""
    keeper.send(spawn(argv=["sleep", "100"]))
    pid = keeper.receive()["pid"]
    _follow(keeper, os.getpid())
    assert keeper.receive()["event"] == "misunderstood"
    pidfd = os.pidfd_open(pid)
    keeper.send({"op": "follow", "key": "other/1/0/1", "pid": pid}, pidfd)
    os.close(pidfd)
    assert keeper.receive()["event"] == "misunderstood"
    os.kill(pid, signal.SIGKILL)
    assert _shown(keeper.receive()) == ("ended", signal.SIGKILL)
