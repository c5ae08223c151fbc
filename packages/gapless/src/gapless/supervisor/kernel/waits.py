"""Whether a process waits for connections on a socket, from /proc (proc(5)).

A thread that waits in epoll_wait(2) or accept(2) names what it waits for; one in poll(2) or
select(2) does not, and is taken for one that waits for all its process holds.  Where the
system call of a thread may not be read (Yama), the kernel function in which it sleeps
can: then a thread that waits for anything counts.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from gapless.supervisor.kernel import processes, thread_calls

_EPOLL, _ACCEPT, _ANY = "epoll", "accept", "any"
_X86 = {232: _EPOLL, 281: _EPOLL, 43: _ACCEPT, 288: _ACCEPT, 7: _ANY, 23: _ANY}
_X86 |= {271: _ANY, 270: _ANY}
_ARM = {22: _EPOLL, 202: _ACCEPT, 242: _ACCEPT, 73: _ANY, 72: _ANY}
_EVERYWHERE = {441: _EPOLL, 426: _ANY}
_CALLS = (_X86 if os.uname().machine == "x86_64" else _ARM) | _EVERYWHERE
"""epoll_wait, epoll_pwait; accept, accept4; poll, select, ppoll, pselect6; on each machine
epoll_pwait2 and io_uring_enter."""
_FUNCTIONS = (
    "ep_poll",
    "do_epoll_wait",
    "do_poll",
    "do_sys_poll",
    "do_select",
    "poll_schedule_timeout",
    "inet_csk_accept",
    "inet_csk_wait_for_connect",
    "io_cqring_wait",
)


def wait_for_connections(pids: Iterable[int], inode: int) -> bool | None:
    """Return whether a thread of the processes waits for connections on a socket.

    None if that cannot be seen.
    """
    known = False
    for pid in pids:
        if inode not in processes.socket_inodes((pid,)):
            continue
        row = processes.read(pid)
        if row is None or row.state in "TtZ":
            known = True  # stopped, by SIGSTOP or a debugger
            continue
        try:
            threads = thread_calls.threads(pid)
        except OSError:
            continue
        for thread in threads:
            waits = _waits(pid, thread, inode)
            if waits:
                return True
            known |= waits is not None
    return False if known else None


def _waits(pid: int, thread: str, inode: int) -> bool | None:
    try:
        call = thread_calls.call_of(pid, thread)
    except PermissionError:
        return _sleeps(pid, thread)
    except OSError as error:
        return None if error.errno != errno.ENOENT else False
    if call is None:
        return False
    kind, number = _CALLS.get(call[0]), call[1]
    if kind == _EPOLL:
        return processes.epoll_watches(pid, number, inode)
    if kind == _ACCEPT:
        return processes.is_socket(pid, number, inode)
    return kind == _ANY


def _sleeps(pid: int, thread: str) -> bool | None:
    """Return whether a thread sleeps where one waits for events; None if it is not told."""
    try:
        where = thread_calls.read(pid, thread, "wchan")
    except OSError:
        return None
    return where.startswith(_FUNCTIONS) if where not in ("", "0") else None
