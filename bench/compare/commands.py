"""Commands of tools, and the end of what they have started."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from rig.hosts import processes
from rig.hosts.host import Host
from rig.hosts.usage import children

COMMAND_S = 120


def run(words: list[str], host: Host) -> int:
    """Run a command; return its exit code."""
    done = subprocess.run(
        words,
        cwd=host.directory,
        env=host.environment | {"PWD": str(host.directory)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=COMMAND_S,
        check=False,
    )
    return done.returncode


def below(pid: int, *, serving: bool = False) -> set[int]:
    """Return the processes below one; *serving* leaves out Python's resource tracker."""
    found: set[int] = set()
    for child in children(pid):
        with suppress(OSError):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if not (serving and b"resource_tracker" in command):
                found |= {child} | below(child, serving=serving)
    return found


def end_all(host: Host) -> None:
    """End what a tool has left behind, by its pid; its directory is in its environment."""
    mark = str(host.directory)
    left = {
        pid
        for pid, process in processes.living().items()
        if mark.encode() in process.environment or mark in process.command
    }
    processes.kill_all(left)
