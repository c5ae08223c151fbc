"""What a keeper tells each new supervisor, and what it does when it is asked twice."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.base import wire
from gapless.keeper import run as keeper_run
from rig.wait import until

START = "import sys; from gapless.keeper import run; run.start(sys.argv[1])"


class Line:
    """The supervisor's end of the connection, and what has come on it."""

    def __init__(self, home: Path) -> None:
        sock = keeper_run.connect(str(home))
        assert sock is not None
        self.channel = wire.Channel(sock)

    def send(self, op: str, **fields: Any) -> None:
        """Send a message."""
        self.channel.send({"op": op, **fields})

    def until(self, event: str) -> list[dict[str, Any]]:
        """Return what comes, up to the first *event*."""
        received: list[dict[str, Any]] = []
        while not received or received[-1]["event"] != event:
            assert select.select([self.channel], [], [], 15)[0], received
            message, descriptors = self.channel.receive()
            for descriptor in descriptors:
                os.close(descriptor)
            received.append(message)
        return received

    def close(self) -> None:
        """Close it."""
        self.channel.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a home whose keeper runs; it ends with the test."""
    subprocess.run([sys.executable, "-c", START, str(tmp_path)], check=True, cwd="/")
    yield tmp_path
    line = Line(tmp_path)
    for message in line.until("welcome"):
        if message["event"] == "spawned":
            os.kill(message["pid"], signal.SIGKILL)
    line.send("end")
    until(lambda: not (tmp_path / "keeper.sock").exists(), "the end of the keeper")
    line.close()


def spawn(line: Line, home: Path, key: str, *argv: str) -> None:
    """Ask for a program."""
    log = {"app": "app", "generation": 1, "ordinal": 0, "id": 0, "combined": ""}
    log |= dict.fromkeys(("output", "error"), str(home / "log"))
    log |= {"format": "plain", "date_format": "", "rotate_bytes": 0, "rotate_s": 0}
    line.send(
        "spawn",
        key=key,
        meta=None,
        argv=argv,
        environment={},
        directory="/",
        targets=[],
        filtered=False,
        log={**log, "keep": 1},
    )


def test_a_keeper_says_who_it_is_and_what_it_speaks(home: Path) -> None:
    """The same to every supervisor that connects."""
    found = []
    for _ in range(2):
        line = Line(home)
        found.append(line.until("welcome")[-1])
        line.close()
    assert found[0] == found[1]
    assert found[0]["protocol"] == 1
    assert len(found[0]["incarnation"]) == 16


def test_a_program_that_could_not_be_started_is_told_to_the_next(home: Path) -> None:
    """The reason is kept until it is forgotten, and nothing is tried twice."""
    line = Line(home)
    spawn(line, home, "app/1/0/1", "/no/such/program")
    (refused,) = [m for m in line.until("refused") if m["event"] == "refused"]
    line.close()
    line = Line(home)
    assert refused in line.until("welcome")
    spawn(line, home, "app/1/0/1", "/bin/sleep", "1000")
    assert line.until("refused") == [refused]
    line.send("forget", key="app/1/0/1")
    line.close()
    line = Line(home)
    assert [m["event"] for m in line.until("welcome")] == ["welcome"]
    line.close()


def test_a_program_that_is_asked_for_twice_is_started_once(home: Path) -> None:
    """The second answer names the same process."""
    line = Line(home)
    line.until("welcome")
    for _ in range(2):
        spawn(line, home, "app/1/0/1", "/bin/sleep", "1000")
    first, second = line.until("spawned")[-1], line.until("spawned")[-1]
    assert first == second
    line.close()


def test_what_a_dead_supervisor_had_sent_is_not_lost(home: Path) -> None:
    """The keeper takes it in before it greets the next one."""
    dead = Line(home)
    dead.until("welcome")
    credentials = dead.channel.sock.getsockopt(1, 17, 12)  # SO_PEERCRED
    keeper = int.from_bytes(credentials[:4], "little")
    with contextlib.ExitStack() as stack:
        os.kill(keeper, signal.SIGSTOP)
        stack.callback(os.kill, keeper, signal.SIGCONT)
        dead.send("note", name="app/app", value={"version": 1})
        dead.close()
        line = Line(home)
    told = line.until("welcome")
    assert {"event": "note", "name": "app/app", "value": {"version": 1}} in told
    line.close()
