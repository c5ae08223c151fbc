"""In which system call a thread sleeps, from /proc/PID/task/TID/syscall (proc(5)).

The kernel shows a call and its arguments only while its thread sleeps in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

Call = tuple[int, int]
"""Its number on this machine, and its first argument."""


def threads(pid: int) -> list[str]:
    """Return the threads of a process.  Raises OSError."""
    return os.listdir(f"/proc/{pid}/task")


def call_of(pid: int, thread: str) -> Call | None:
    """Return the call in which a thread sleeps; None if it runs, or is stopped.

    Raises OSError, PermissionError where it may not be observed.
    """
    words = read(pid, thread, "syscall").split()
    if len(words) < 3 or not words[0].isdigit():
        return None
    return int(words[0]), int(words[1], 16)


def calls(pid: int) -> Iterator[Call]:
    """Yield the calls in which threads of a process sleep, as far as they can be seen."""
    try:
        names = threads(pid)
    except OSError:
        return
    for thread in names:
        try:
            found = call_of(pid, thread)
        except OSError:
            continue
        if found is not None:
            yield found


def read(pid: int, thread: str, name: str) -> str:
    """Return what a file of a thread says.  Raises OSError."""
    with open(f"/proc/{pid}/task/{thread}/{name}", encoding="ascii") as file:
        return file.read()
