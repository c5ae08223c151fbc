"""A program that cannot begin: its directory or its user is on what does not answer.

Here it is its control group, a FIFO that nobody reads: the child waits before exec.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gapless.keeper import children
from gapless.keeper.spawn import START_S
from rig.hosts.keeper_line import KeeperLine, spawn
from rig.wait import until

LATE, QUICK = "app/1/0/1", "other/1/0/1"


@pytest.fixture
def hangs(tmp_path: Path) -> Path:
    """Return what a program waits for before it begins."""
    gate = tmp_path / "cgroup.procs"
    os.mkfifo(gate)
    return gate


def late(hangs: Path, **more: Any) -> dict[str, Any]:
    """Return a message for a program that waits there."""
    return spawn(key=LATE, cgroup=str(hangs.parent), **more)


def let_begin(hangs: Path) -> None:
    """Let it begin."""
    with open(hangs, "rb") as gate:
        gate.read()


def event(keeper: KeeperLine, kind: str, key: str) -> dict[str, Any]:
    """Return the next event of a kind about a key."""
    while True:
        found = keeper.receive()
        if (found["event"], found.get("key")) == (kind, key):
            return found


@pytest.mark.parametrize("filtered", [False, True])
def test_others_begin_and_end_meanwhile(
    keeper: KeeperLine, hangs: Path, filtered: bool
) -> None:
    """It is told of when it runs, and its end is known, however soon that comes."""
    began = time.monotonic()
    keeper.send(late(hangs, filtered=filtered, argv=["sh", "-c", "exit 3"]))
    keeper.send(late(hangs))  # it is not started twice
    keeper.send(spawn(key=QUICK))
    assert event(keeper, "spawned", QUICK)["pid"]
    assert event(keeper, "ended", QUICK)["status"] == 0
    assert time.monotonic() - began < START_S / 4
    let_begin(hangs)
    assert event(keeper, "spawned", LATE)["pid"]
    assert os.waitstatus_to_exitcode(event(keeper, "ended", LATE)["status"]) == 3


@pytest.mark.parametrize("filtered", [False, True])
def test_many_hold_the_others_no_longer_than_one(
    keeper: KeeperLine, hangs: Path, filtered: bool
) -> None:
    """They all wait for the same share; nor do they hold the next keeper one by one."""
    keys = [f"app/1/{ordinal}/1" for ordinal in range(20)]
    began = time.monotonic()
    for key in keys:
        keeper.send(late(hangs, filtered=filtered) | {"key": key})
    keeper.send(spawn(key=QUICK))
    event(keeper, "spawned", QUICK)
    keeper.until_answered()
    assert time.monotonic() - began < len(keys) * children.AT_ONCE_S / 2
    began = time.monotonic()
    os.kill(keeper.pid, signal.SIGKILL)
    while (found := keeper.receive())["event"] != "welcome":
        pass
    assert time.monotonic() - began < len(keys) * children.BEGINS_S / 2
    keeper.pid = found["pid"]
    gate = os.open(hangs, os.O_RDWR)  # whoever comes may begin
    own = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children")
    until(lambda: not own.read_text().split(), "their end")
    os.close(gate)


def test_one_that_cannot_begin_at_last_is_refused(
    keeper: KeeperLine, hangs: Path
) -> None:
    """As one that could not at once."""
    before = keeper.descriptors()
    keeper.send(late(hangs, directory="/nowhere"))
    keeper.send(spawn(key=QUICK))
    event(keeper, "ended", QUICK)
    let_begin(hangs)
    assert "enter the directory /nowhere" in event(keeper, "refused", LATE)["reason"]
    for key in (LATE, QUICK):
        keeper.send({"op": "forget", "key": key})
    keeper.until_answered()
    until(lambda: keeper.descriptors() == before, "nothing of them is left")


@pytest.mark.soak
def test_one_that_never_begins_is_refused(keeper: KeeperLine, hangs: Path) -> None:
    """When it has had its time; it is killed."""
    keeper.send(late(hangs))
    reason = event(keeper, "refused", LATE)["reason"]
    assert reason == "it has not become the program after 10 s"
    own = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children")
    until(lambda: not own.read_text().split(), "its end")


def test_the_next_supervisor_is_told_of_it(keeper: KeeperLine, hangs: Path) -> None:
    """Else it would be taken for one that has ended."""
    keeper.send(late(hangs))
    keeper.until_answered()
    keeper.connect_again()
    assert [(each["event"], each["key"]) for each in keeper.announced] == [
        ("spawned", LATE)
    ]
    let_begin(hangs)
    assert event(keeper, "ended", LATE)["status"] == 0


@pytest.mark.parametrize("filtered", [False, True])
def test_the_next_keeper_says_that_it_did_not_begin(
    keeper: KeeperLine, hangs: Path, filtered: bool
) -> None:
    """The message that asked for it is not there any more; what is left of it ends."""
    keeper.send(late(hangs, filtered=filtered))
    keeper.until_answered()
    os.kill(keeper.pid, signal.SIGKILL)
    while (found := keeper.receive())["event"] != "welcome":
        if found["event"] == "refused":
            assert (found["key"], found["reason"]) == (LATE, children.INTERRUPTED)
        else:
            assert (found["event"], found["key"]) == ("spawned", LATE)
        assert (found["event"] == "refused") == filtered
    keeper.pid = found["pid"]
    let_begin(hangs)
    if not filtered:  # it had been told that it begins
        assert event(keeper, "ended", LATE)["status"] in (None, 0)
