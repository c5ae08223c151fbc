"""Why a process does not answer."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gapless.base.kernel import conditions
from gapless.base.kernel.conditions import Found


@pytest.mark.parametrize(
    ("found", "reason", "hint"),
    [
        (Found(pid=7, state="T"), "stopped (SIGSTOP)", "kill -CONT 7"),
        (
            Found(pid=7, state="t", tracer=8, tracer_name="gdb"),
            "traced by the process 8 (gdb)",
            "pid 8",
        ),
        (
            Found(pid=7, state="D", waits_in="nfs_wait"),
            "(uninterruptible, in nfs_wait)",
            "file system",
        ),
        (Found(pid=7, state="D", waits_in="__refrigerator"), "is frozen", "thaw"),
        (Found(pid=7, state="S", waits_in="do_freezer_trap"), "is frozen", "thaw"),
        (Found(pid=7, state="S", waits_in="ep_poll"), "sleeps, in ep_poll", "swap"),
        (Found(pid=7, state="R"), "it runs", "overloaded"),
        (Found(pid=7, state="Z"), "has ended", "again"),
    ],
)
def test_each_state_is_told_with_what_to_do(
    found: Found, reason: str, hint: str
) -> None:
    """A process that somebody holds is known from one that is slow."""
    told = conditions.condition(found)
    assert reason in told.reason
    assert hint in told.hint
    assert told.is_held == (found.state in "Tt" or "frozen" in told.reason)


def test_a_process_is_read_as_it_is(tmp_path: Path) -> None:
    """Its own process runs; a stopped one that has a lock is found by it."""
    own = conditions.of(os.getpid())
    assert own is not None
    assert own.reason.startswith("it runs")
    assert conditions.of(0) is conditions.of(-1) is None
    path = tmp_path / "lock"
    path.touch()
    assert conditions.holder_of_lock(str(path)) == 0
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)  # gapless"
        with subprocess.Popen([sys.executable, "-c", code]) as process:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            found = conditions.of(process.pid)
            process.send_signal(signal.SIGCONT)
        assert found is not None
        assert found.is_held


def test_no_lock_and_no_file_is_nobody(tmp_path: Path) -> None:
    """A pid of 0 is read as nobody's."""
    assert conditions.holder_of_lock(str(tmp_path / "none")) == 0
