"""Rule 8: a signal is held back while the process drains.  Each test has a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, threading
from gapless_drain import Drain

began = threading.Event()

def own(number, frame):
    print("own", number, drain.mode.value, flush=True)
    os._exit(0)

def send():
    os.kill(os.getpid(), signal.SIGTERM)

def until(mode):
    while drain.mode.value != mode:
        threading.Event().wait(0.005)

signal.signal(signal.SIGTERM, own)
"""


def run(tmp_path: Path, body: str) -> tuple[int, str]:
    """Run a program to its end; return its exit code and what it printed."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + body)
    argv = [sys.executable, "-W", "ignore::DeprecationWarning", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def test_the_first_waits_until_all_is_finished(tmp_path: Path) -> None:
    """The server's own handler is called only then."""
    _, said = run(
        tmp_path,
        """
drain = Drain(environ={})
with drain.procedure("p"):
    send()
    until("recycle")
    print("finished", flush=True)
until("never")
""",
    )
    assert said == "finished\nown 15 recycle"


def test_an_order_to_serve_takes_no_signal_back(tmp_path: Path) -> None:
    """A supervisor that comes back sends one; what was counted since is kept."""
    _, said = run(
        tmp_path,
        """
drain = Drain(environ={})
with drain.procedure("p"):
    drain.core.admit("GET /", 0.0)
    send()
    until("recycle")
    drain.core.finish(*drain.core.requests, 1.0)
    assert drain._take_order("undrain")
    counts = drain.counts()
    print(counts["mode"], counts["finished"]["requests"], flush=True)
until("never")
""",
    )
    assert said == "recycle 1\nown 15 recycle"


@pytest.mark.parametrize("own", ["", "signal.signal(signal.SIGINT, signal.SIG_DFL)"])
def test_on_windows_the_process_is_not_terminated(tmp_path: Path, own: str) -> None:
    """There, os.kill ends a process at once, whatever the signal; raise() does not."""
    code, said = run(
        tmp_path,
        f"""
from gapless_drain import signals

def terminate(pid, number):
    print("terminated", flush=True)
    os._exit(9)

def interrupted(number, frame):
    print(int(number), flush=True)
    os._exit(3)

signal.signal(signal.SIGINT, interrupted)
{own}
drain = Drain(environ={{}})
os.kill, signals.ON_WINDOWS = terminate, True
signal.raise_signal(signal.SIGINT)
until("never")
""",
    )
    assert (code, said) == ((-2, "") if own else (3, "2"))


def test_it_waits_no_longer_than_the_timeout(tmp_path: Path) -> None:
    """A procedure that never ends does not keep the process alive for ever."""
    _, said = run(
        tmp_path,
        """
drain = Drain(environ={}, drain_timeout_s=0.2)
with drain.procedure("p"):
    send()
    until("never")
""",
    )
    assert said == "own 15 recycle"


@pytest.mark.parametrize(
    "first", ["send(); until('recycle')", "drain._take_order('drain recycle')"]
)
def test_a_signal_in_a_drain_is_not_held_back(tmp_path: Path, first: str) -> None:
    """Neither a second signal, nor the first one after an order."""
    _, said = run(
        tmp_path,
        f"""
drain = Drain(environ={{}})
with drain.procedure("p"):
    {first}
    send()
    until("never")
""",
    )
    assert said == "own 15 recycle"


def test_the_balancer_may_have_its_lead(tmp_path: Path) -> None:
    """The health path says no for a while before anything is refused."""
    _, said = run(
        tmp_path,
        """
drain = Drain(environ={}, lead_s=0.2, on_signal="handoff")
with drain.procedure("p"):
    send()
    until("leaving")
    print("leaving", flush=True)
    until("handoff")
until("never")
""",
    )
    assert said == "leaving\nown 15 handoff"


def test_a_process_without_a_handler_dies_of_the_signal(tmp_path: Path) -> None:
    """As without the library, so that its parent process can see it."""
    code, _ = run(
        tmp_path,
        """
signal.signal(signal.SIGTERM, signal.SIG_DFL)
drain = Drain(environ={})
send()
until("never")
""",
    )
    assert code == -signal.SIGTERM


def test_a_process_that_ignores_the_signal_goes_on(tmp_path: Path) -> None:
    """The library does not give it a meaning."""
    code, said = run(
        tmp_path,
        """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
drain = Drain(environ={})
send()
print(drain.mode.value)
""",
    )
    assert (code, said) == (0, "serving")


def test_a_stopped_supervisor_does_not_hold_the_signal(tmp_path: Path) -> None:
    """Its accept queue is full, and it never accepts a connection."""
    _, said = run(
        tmp_path,
        f"""
import socket
path = {str(tmp_path / "full")!r}
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(0)
waiting = []
try:
    while True:
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].setblocking(False)
        waiting[-1].connect(path)
except BlockingIOError:
    pass
drain = Drain(environ={{"GAPLESS_SOCKET": path, "GAPLESS_INSTANCE": "x"}})
send()
until("never")
""",
    )
    assert said == "own 15 recycle"


def test_a_child_that_is_forked_in_a_drain_lives(tmp_path: Path) -> None:
    """The signal was for its parent, which runs the procedure that it is part of."""
    _, said = run(
        tmp_path,
        """
drain = Drain(environ={})
with drain.procedure("p"):
    send()
    until("recycle")
    pid = os.fork()
    if pid == 0:
        for _ in range(20):
            drain._connection.wake()
            threading.Event().wait(0.005)
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
until("never")
""",
    )
    assert said == "7\nown 15 recycle"
