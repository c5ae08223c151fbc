"""Undo what a relay that died has left with processes: marks, and stops.

The supervisor does this at once: until another relay runs, a client would wait.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterable

from gapless.keeper.duplicate import duplicate
from gapless.supervisor.kernel import processes
from gapless.supervisor.kernel.processes import Process
from gapless.supervisor.relay import holders, sockets
from gapless.supervisor.relay.holders import Holder
from gapless.supervisor.relay.stopped import Stops


def mend(found: Iterable[Process]) -> None:
    """Give back what was parked, close what was taken, and let stopped processes go on.

    They go on last: until its connection is closed, a process could read the rest of a
    body whose beginning the relay had read, and take it for requests.
    """
    found = tuple(found)
    try:
        _undo_marks(each.pid for each in found)
    finally:
        for each in found:
            processes.signal_exactly(each, signal.SIGCONT)


def _undo_marks(pids: Iterable[int]) -> None:
    stops = Stops()
    readers: dict[int, tuple[Holder, int]] = {}
    """By its process: one connection whose reader may sleep with a mark."""
    for inode, held_by in holders.sockets_of(pids).items():
        sock = _connection(inode, held_by[0])
        if sock is None:
            continue
        with sock, contextlib.suppress(OSError):
            mark = sockets.mark_of(sock)
            if mark == sockets.TAKEN:
                _close(sock, stops, held_by, inode)
            if mark in (sockets.TAKEN, sockets.PARKED):
                sockets.clear_mark(sock)
                readers |= {each[0]: (each, inode) for each in held_by}
    for holder, inode in readers.values():
        stops.interrupt([holder], inode)


def _close(
    sock: socket.socket, stops: Stops, held_by: list[Holder], inode: int
) -> None:
    """End a connection of whose request a part was read; its process gets no more."""
    stopped = stops.stop(held_by, inode)
    try:
        sockets.shut(sock)
    finally:
        stopped.end()


def _connection(inode: int, holder: Holder) -> socket.socket | None:
    """Return a duplicate of a connection, None if it is none or cannot be had."""
    try:
        copy = duplicate(*holder)
    except OSError:
        return None
    if not holders.is_socket(copy, inode):
        os.close(copy)
        return None
    return holders.connection_of(copy)
