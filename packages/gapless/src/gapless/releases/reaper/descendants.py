"""Every process that came from this one, and its end.

Rule 1: a process is found by its parents or by its control group, never by its session or
process group, which it may leave.  This process is a subreaper (prctl(2)): one whose parent
has ended is its child.
Rule 2: a pid is signalled by a descriptor of it (pidfd_open(2)), after its start was
compared with what was found: a number may belong to another process meanwhile.
"""

from __future__ import annotations

import os
import select
import signal

from gapless.base import clock
from gapless.base.kernel import cgroups

END_S = 10.0
"""How long the end may take; one in an uninterruptible wait of the kernel takes longer."""
_PAUSE_S = 0.01
_Stat = tuple[int, int]
"""The parent of a process, and when it started."""


def own_group() -> str:
    """Return the directory of a new control group for the command; empty if none can be."""
    found = cgroups.find()
    if found is None:
        return ""
    path = f"{found.directory}/gapless-build-{os.getpid()}"
    return path if cgroups.make(path) else ""


def end_all(group: str) -> list[int]:
    """Kill every descendant, and wait for their ends; return those that live on.

    Descendants of other users live on where this process may not signal them.
    """
    until = clock.monotonic() + END_S
    while True:
        if group and not cgroups.kill(group):
            for pid in cgroups.pids(group):
                _kill(pid, _stat(pid))
        found = _descendants()
        for pid, stat in found.items():
            _kill(pid, stat)
        reap()
        left = [pid for pid in found if _stat(pid) is not None]
        if group and cgroups.is_populated(group):
            left = sorted({*left, *cgroups.pids(group)})
        elif not found:
            break
        if clock.monotonic() > until:
            return left
        if left:
            select.select([], [], [], _PAUSE_S)
    if group:
        cgroups.remove(group)
    return []


def reap() -> dict[int, int]:
    """Collect the children that have ended; return the exit code of each."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def _descendants() -> dict[int, _Stat]:
    """Return every process below this one, with what tells it from a later one."""
    there = {
        pid: stat
        for name in os.listdir("/proc")
        if name.isdigit() and (stat := _stat(pid := int(name))) is not None
    }
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in there.items():
        children.setdefault(parent, []).append(pid)
    found: dict[int, _Stat] = {}
    waiting = [os.getpid()]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid not in found:
                found[pid] = there[pid]
                waiting.append(pid)
    return found


def _stat(pid: int) -> _Stat | None:
    """Return the parent and the start of a process; None if there is none (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    return int(fields[1]), int(fields[19])


def _kill(pid: int, stat: _Stat | None) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return  # it has ended
    try:
        now = _stat(pid)
        if stat is not None and now is not None and now[1] == stat[1]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return  # it has ended, or is another user's
    finally:
        os.close(pidfd)
