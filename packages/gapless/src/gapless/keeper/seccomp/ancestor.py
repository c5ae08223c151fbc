"""What takes the rights of ptrace(2) over a program: its memory, and its descriptors.

With Yama's `ptrace_scope` 1 an ordinary user has them over descendants only.  A keeper that
follows one that died is no ancestor of what that one had started, and its guardian is: it
opens what this process may not.
"""

from __future__ import annotations

import os
from typing import Protocol

from gapless.keeper import duplicate as duplicates


class Ancestor(Protocol):
    """A process that is an ancestor of all programs, and does this when asked."""

    def duplicate(self, pid: int, number: int) -> int:
        """Return a duplicate of a process's descriptor.  Raises OSError."""

    def open_memory(self, thread_id: int) -> int:
        """Return a descriptor of the memory of a thread.  Raises OSError."""


_above: list[Ancestor] = []


def ask(ancestor: Ancestor) -> None:
    """Let what this process may not open be opened by another one."""
    _above[:] = [ancestor]


def duplicate(pid: int, number: int) -> int:
    """Return our own copy of another process's descriptor (pidfd_getfd(2)).

    Raises OSError: EPERM without the rights, EBADF, ESRCH.
    """
    try:
        return duplicates.duplicate(pid, number)
    except PermissionError:
        if not _above:
            raise
        return _above[0].duplicate(pid, number)


def open_memory(thread_id: int) -> int:
    """Return a descriptor from which the memory of a thread is read.  Raises OSError."""
    try:
        return os.open(f"/proc/{thread_id}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        if not _above:
            raise
        return _above[0].open_memory(thread_id)
