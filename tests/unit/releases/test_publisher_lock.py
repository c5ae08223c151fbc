"""Who holds the publisher's lock, and for how long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from gapless.releases import publisher_lock
from gapless.releases.model import ReleaseSpec
from rig.wait import until

PUBLISHER = """
import sys
from gapless.releases import publisher_lock
from gapless.releases.model import ReleaseSpec
from gapless.releases.steps import commands
spec = ReleaseSpec(app="app", base=sys.argv[1])
with publisher_lock.hold(spec, lambda *_: None) as held:
    commands.run(held, ("sh", "-c", sys.argv[2]), "/", what="the build", timeout_s=60,
                 log=sys.argv[1] + "/log")
"""


def publisher(base: Path, build: str) -> subprocess.Popen[bytes]:
    """Start a publisher that runs a build while it holds the lock."""
    return subprocess.Popen([sys.executable, "-c", PUBLISHER, str(base), build])


def alive(path: Path) -> int:
    """Return the pid that a program has written, while it lives; else 0."""
    try:
        pid = int(path.read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return 0
    return 0 if state == "Z" else pid


def test_what_a_build_leaves_behind_keeps_no_lock(tmp_path: Path) -> None:
    """Its publisher was killed, the build has ended, and a daemon of it lives on."""
    daemon, gate = tmp_path / "daemon", tmp_path / "gate"
    os.mkfifo(gate)
    build = f"setsid sh -c 'echo $$ > {daemon}; exec sleep 300' & cat {gate}"
    killed = publisher(tmp_path, build)
    until(lambda: alive(daemon), "the daemon of the build")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    steps: list[str] = []

    def progress(_step: str, detail: str) -> None:
        steps.append(detail)
        assert alive(daemon), "the build still runs: nothing of it is ended"
        with gate.open("w"):
            pass

    spec = ReleaseSpec(app="app", base=str(tmp_path))
    with publisher_lock.hold(spec, progress):
        assert not alive(daemon)
    assert str(killed.pid) in steps[0]


def test_a_publisher_that_waits_is_left_alone(tmp_path: Path) -> None:
    """It has the lock's file open as well, and holds nothing."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = publisher(tmp_path, f"cat {gate}")
    lock = tmp_path / "dist" / ".gapless-app" / "lock"
    until(lambda: lock.exists() and "command" in lock.read_text(), "the build")
    second = publisher(tmp_path, "true")
    until(lambda: str(lock) in _open_files(second.pid), "the second to wait")
    first.send_signal(signal.SIGKILL)
    first.wait()
    with gate.open("w"):
        pass
    assert second.wait(30) == 0


def _open_files(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(each))
        except FileNotFoundError:
            continue
    return found
