"""The living processes of this machine, with their environment and command line."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What /proc says of a process."""

    environment: bytes
    """NAME=VALUE pairs, each followed by a zero byte."""
    command: str


def living() -> dict[int, Process]:
    """Return every process by its pid, but zombies, this one and what we may not read."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{name}/environ").read_bytes()
            command = Path(f"/proc/{name}/cmdline").read_bytes()
            state = Path(f"/proc/{name}/stat").read_text().rpartition(") ")[2][:1]
        except OSError:
            continue  # it ended in the meantime, or belongs to another user
        if state != "Z":
            words = command.replace(b"\0", b" ").decode(errors="replace")
            found[int(name)] = Process(environment=environment, command=words)
    return found


def signal_all(pids: set[int], number: int) -> None:
    """Send a signal to every process of *pids* that still exists."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_all(pids: set[int]) -> None:
    """Send SIGKILL to every process of *pids* that still exists."""
    signal_all(pids, signal.SIGKILL)
