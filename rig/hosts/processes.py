"""The living processes of this machine, with their environment and command line."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass


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
            environment = _read(f"/proc/{name}/environ")
            command = _read(f"/proc/{name}/cmdline")
            state = _read(f"/proc/{name}/stat").rpartition(b") ")[2][:1]
        except OSError:
            continue  # it ended in the meantime, or belongs to another user
        if state != b"Z":
            words = command.replace(b"\0", b" ").decode(errors="replace")
            found[int(name)] = Process(environment=environment, command=words)
    return found


def _read(path: str) -> bytes:
    """Return a file of /proc; tests read those of all processes thousands of times."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        pieces = []
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


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


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process, and let it go on."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
