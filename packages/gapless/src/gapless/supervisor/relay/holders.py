"""Which processes hold which sockets, and what their threads wait for (proc(5)).

A connection is held until no process of its instance has it any more: a child that was
forked while it was open has it too.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable

from gapless.supervisor.kernel import processes, thread_calls

Holder = tuple[int, int]
"""A process, and the number of the descriptor there."""


def sockets_of(pids: Iterable[int]) -> dict[int, list[Holder]]:
    """Return by its inode who holds each socket of some processes."""
    found: dict[int, list[Holder]] = {}
    for pid in pids:
        for name, inode in processes.open_sockets(pid):
            found.setdefault(inode, []).append((pid, int(name)))
    return found


def holds(holder: Holder, inode: int) -> bool:
    """Return whether a process has a socket still, at the same number."""
    return processes.is_socket(*holder, inode)


def sleeps_in_recv(holder: Holder) -> bool:
    """Return whether a thread of a process sleeps in a read of a descriptor."""
    pid, wanted = holder
    return any(
        number in _READS and descriptor == wanted
        for number, descriptor in thread_calls.calls(pid)
    )


def _numbers_of_reads() -> frozenset[int]:
    """Return the numbers of read, readv, recvfrom and recvmsg on this machine."""
    if os.uname().machine == "x86_64":
        return frozenset((0, 19, 45, 47))
    return frozenset((63, 65, 207, 212))  # the generic table: arm64, riscv


_READS = _numbers_of_reads()


def is_socket(descriptor: int, inode: int) -> bool:
    """Return whether a duplicate is of the socket that was meant.

    Its process may have put something else at that number meanwhile.
    """
    found = os.fstat(descriptor)
    return found.st_ino == inode and stat.S_ISSOCK(found.st_mode)


def connection_of(descriptor: int) -> socket.socket | None:
    """Return a socket for a duplicate if it is a TCP connection, else close it."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
    try:
        inet = sock.family in (socket.AF_INET, socket.AF_INET6)
        if inet and sock.type == socket.SOCK_STREAM and sock.getpeername():
            return sock
    except OSError:
        pass  # it listens, or its peer is gone
    sock.close()
    return None
