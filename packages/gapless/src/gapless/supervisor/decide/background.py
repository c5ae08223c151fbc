"""Decide whether a leader that ended went into the background.  Pure.

A program does so when its command ends with 0 and leaves a process behind that holds its
listening sockets: that process leads the instance from then on.  Any other end of a leader
is a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gapless.supervisor.memory.model import Phase, Role
from gapless.supervisor.memory.spec import Restart

FORK_S = 2.0
"""A program that listens before it forks does so at once: a later end is a crash."""


class Process(Protocol):
    """What is read of a process."""

    @property
    def parent(self) -> int:
        """The pid of its parent."""

    @property
    def start_ticks(self) -> int:
        """When it started, since boot."""


class Instance(Protocol):
    """What is read of an instance."""

    phase: Phase
    ready_at: float | None
    answered_at: float
    stop_sent_at: float | None
    background: bool


def may_be_in_background(
    instance: Instance, role: Role, code: int | None, at: float
) -> bool:
    """Return whether what an instance has left may lead it, by how its leader ended.

    Of a process that was itself left behind nobody may know how it ended: a program that
    forks twice.
    """
    if code != 0 and not (code is None and instance.background):
        return False
    if instance.stop_sent_at is not None or role in (Role.RETIRING, Role.YIELDING):
        return False
    if instance.phase is Phase.STARTING:
        return True
    ready_at = instance.ready_at
    if instance.phase is not Phase.READY or ready_at is None:
        return instance.phase is Phase.READY
    # It counts as ready when it has bound a socket that listens; then it calls listen.
    return at < max(ready_at, instance.answered_at) + FORK_S


def waits_until(instance: Instance, restart: Restart, at: float) -> float | None:
    """Return until when a process may begin to listen that a leader left *at* some time.

    None: until the time for the start is over.
    """
    if instance.phase is Phase.READY or is_job(restart):
        return at + FORK_S
    return None


def is_job(restart: Restart) -> bool:
    """Return whether an end with 0 is the end of an app: nobody starts it again."""
    return not restart.automatic or 0 in restart.stop_exit_codes


def find_leader(processes: Mapping[int, Process], holders: set[int]) -> int | None:
    """Return the pid of the process that leads: of those that hold the sockets, the first.

    Not one whose parent, or whose parent's parent, is another of them.
    """
    first = [pid for pid in holders if not _is_below(processes, holders, pid)]
    return min(first, key=lambda pid: (processes[pid].start_ticks, pid), default=None)


def _is_below(processes: Mapping[int, Process], holders: set[int], pid: int) -> bool:
    seen = {pid}
    while (pid := processes[pid].parent) in processes and pid not in seen:
        if pid in holders:
            return True
        seen.add(pid)
    return False
