"""`make rig` as a new user runs it: in a terminal, and with a script as input."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rig.hosts.host import ROOT
from rig.wait import until

COMMAND = [sys.executable, "-m", "rig.console.session", "--hosts", "2"]


class Terminal:
    """The rig in a terminal, and its output after what was last waited for."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process, self._descriptor, self.output = process, descriptor, ""

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._descriptor, text.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a pattern in the output, after what was last waited for."""

        def found() -> re.Match[str] | None:
            try:
                self.output += os.read(self._descriptor, 65536).decode()
            except BlockingIOError:
                pass
            except OSError:
                assert re.search(pattern, self.output), f"it is closed: {self.output}"
            return re.search(pattern, self.output)

        match = until(found, pattern, 60)
        assert match is not None
        self.output = self.output[match.end() :]
        return match


@contextmanager
def terminal(*options: str) -> Iterator[Terminal]:
    """Run the rig in a terminal of its own, as its foreground job."""
    controller, terminal_end = os.openpty()
    os.set_blocking(controller, False)
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *COMMAND, *options],
        cwd=ROOT,
        stdin=terminal_end,
        stdout=terminal_end,
        stderr=terminal_end,
    )
    os.close(terminal_end)
    try:
        yield Terminal(process, controller)
    finally:
        os.close(controller)  # which hangs up
        process.wait(60)


@pytest.mark.soak
def test_releases_faults_and_counts_by_hand() -> None:
    """A good release, a crash, a wrong command; Ctrl-C cleans up, and nothing was lost."""
    with terminal() as typed:
        directory = Path(typed.wait_for(r"the directory +(\S+)/dfs")[1])
        assert directory.is_dir()
        typed.type("upload 2\n")
        typed.wait_for(r"rollout 2 done: 2 of 2 hosts")
        typed.type("kill supervisor s1\nruns\n")
        typed.wait_for(r"\{'s0': '2', 's1': '2'\}")
        typed.type("kil s1\n")
        typed.wait_for(r"no such fault here: kil; `help`")
        typed.type("status\n")
        typed.wait_for(r"rollout 2 to example-\d+: done: 2 of 2 hosts updated")
        typed.type("\x03")
        typed.wait_for(r"[1-9]\d* requests, 0 lost")
        assert typed.process.wait(60) == 0
        assert not directory.exists()


@pytest.mark.soak
def test_a_script_is_typed_too_and_a_loss_is_its_exit_code() -> None:
    """`wait` waits for the end of the rollout, also of refused and broken uploads."""
    script = (
        "upload 2 no-build\nwait\nupload 3 broken\nwait\nload\nkill s0\nload\nquit\n"
    )
    done = subprocess.run(
        [*COMMAND, "--balancer", "haproxy"],
        cwd=ROOT,
        input=script,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "rollout 1 done" in done.stdout
    assert "rollout 2 held" in done.stdout
    assert "by instance" in done.stdout
    lost = re.search(r"\d+ requests, (\d+) lost", done.stdout)
    assert lost is not None, done.stdout + done.stderr
    assert done.returncode == (lost[1] != "0")
    assert not done.stderr


@pytest.mark.soak
def test_a_closed_terminal_leaves_nothing() -> None:
    """The rig ends and cleans up, since no input can come any more."""
    with terminal() as typed:
        directory = Path(typed.wait_for(r"the directory +(\S+)/dfs")[1])
        typed.process.send_signal(signal.SIGKILL)
    until(lambda: not directory.exists(), "the directory to be removed", 60)
