"""The agent of a virtual machine, on a line of this host: what `make vm` stands on."""

from __future__ import annotations

import json
import os
import pty
import pwd
import select
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator
from typing import Any

import pytest

from rig.vm import agent, results
from rig.wait import SLOWER

WAIT_MS = 15_000 * SLOWER
ME = pwd.getpwuid(os.getuid()).pw_name


class Line:
    """The host's end of the line of an agent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def send(self, **message: Any) -> None:
        """Send a message."""
        os.write(self._descriptor, json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        while b"\n" not in self._rest:
            assert self._poll.poll(WAIT_MS), "the agent is silent"
            self._rest += os.read(self._descriptor, 65_536)
        first, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(first)
        return found

    def run(self, number: int, *argv: str, **more: Any) -> tuple[str, int]:
        """Run a command; return its output and exit code."""
        self.send(id=number, argv=argv, user=ME, environment={}, directory="/", **more)
        return self.end(number)

    def end(self, number: int) -> tuple[str, int]:
        """Return output and exit code of a command that runs."""
        output = ""
        while True:
            message = self.receive()
            assert message["id"] == number
            output += message.get("output", "")
            if "code" in message:
                return output, message["code"]


@pytest.fixture
def line() -> Iterator[Line]:
    """Start an agent at the other end of a terminal."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    argv = [sys.executable, agent.__file__, os.ttyname(theirs)]
    with subprocess.Popen(argv, start_new_session=True) as process:
        try:
            found = Line(ours)
            with open(agent.BOOT_ID, encoding="ascii") as file:
                assert found.receive() == {"boot": file.read().strip()}
            yield found
        finally:
            process.kill()
    os.close(ours)
    os.close(theirs)


def test_commands_run_and_end(line: Line) -> None:
    """With their output and exit code; also one that is not there, or of no user."""
    assert line.run(1, "sh", "-c", "echo one; echo two >&2; exit 3") == (
        "one\ntwo\n",
        3,
    )
    output, code = line.run(2, "/not/there")
    assert (code, "/not/there" in output) == (127, True)
    line.send(
        id=3, argv=["true"], user="nobody-of-that-name", environment={}, directory=""
    )
    assert line.end(3)[1] == 127


def test_a_command_can_be_killed_while_another_runs(line: Line) -> None:
    """Each has its number."""
    line.send(id=1, argv=["sleep", "600"], user=ME, environment={}, directory="/")
    assert line.run(2, "echo", "two") == ("two\n", 0)
    line.send(id=1, kill=signal.SIGKILL)
    assert line.end(1) == ("", -signal.SIGKILL)
    line.send(id=1, kill=signal.SIGKILL)  # it has ended: nothing happens
    assert line.run(3, "true") == ("", 0)


def test_a_command_can_be_killed_at_once(line: Line) -> None:
    """A message is taken in after the one before it has had its effect."""
    for number in range(20):
        line.send(
            id=number, argv=["sleep", "600"], user=ME, environment={}, directory=""
        )
        line.send(id=number, kill=signal.SIGKILL)
        assert line.end(number) == ("", -signal.SIGKILL)


def test_the_table_has_a_row_for_each_thing(tmp_path: Any) -> None:
    """A column for each kernel and user; what was not run is a dash."""
    for kernel, user, what, words in (
        ("6.1", "root", "steering", "yes"),
        ("6.1", "ada", "steering", "no"),
        ("7.3", "root", "tests: kernel", "34 passed"),
    ):
        kept = {"kernel": kernel, "user": user, "what": what, "words": words}
        (tmp_path / f"{kernel}-{user}-{len(what)}.json").write_text(json.dumps(kept))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    results.write_table(tmp_path, page)
    assert page.read_text() == (
        f"before\n{results.BEGIN}\n\n"
        "| | 6.1, ada | 6.1, root | 7.3, root |\n|---|---|---|---|\n"
        "| steering | no | yes | - |\n"
        "| tests: kernel | - | - | 34 passed |\n"
        f"\n{results.END}\nafter\n"
    )
