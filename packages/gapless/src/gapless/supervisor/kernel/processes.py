"""Processes and what they hold open, from /proc (proc(5))."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One row of /proc, all read at one moment."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    start_ticks: int
    """Since boot; with the pid it names a process for good."""
    cpu_ticks: int
    rss_bytes: int


def snapshot() -> dict[int, Process]:
    """Return every process of the host that can be seen."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = read(int(name))
            if process is not None:
                table[process.pid] = process
    return table


def read(pid: int) -> Process | None:
    """Return one process, or None if no process has that number."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        line = os.read(descriptor, 1024)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    head, _, tail = line.rpartition(b") ")
    fields = tail.split()
    return Process(
        pid=pid,
        name=head.partition(b"(")[2].decode(errors="replace"),
        state=chr(fields[0][0]),
        parent=int(fields[1]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        rss_bytes=int(fields[21]) * _PAGE_BYTES,
    )


def tree(table: dict[int, Process], leader: int, *, session: int) -> tuple[int, ...]:
    """Return a leader, everything in its session, and all descendants of these.

    0 stands for no leader, or no session.
    """
    found = {
        pid
        for pid, process in table.items()
        if pid == leader or (session and process.session == session)
    }
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return tuple(sorted(found))


def belongs(pid: int, variable: str, value: str) -> bool:
    """Return whether a process was started with *variable* set to *value*."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{variable}={value}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def socket_inodes(pids: tuple[int, ...]) -> frozenset[int]:
    """Return the inodes of the sockets that processes hold open."""
    found = set()
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    return frozenset(found)


def holder_of(inode: int) -> tuple[int, str] | None:
    """Return pid and name of a process that holds a socket, if we may see it."""
    for pid, process in snapshot().items():
        if inode in socket_inodes((pid,)):
            return pid, process.name
    return None


def listens_by_epoll(pids: tuple[int, ...], inode: int) -> bool:
    """Return whether an epoll set of a process waits for connections on a socket."""
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fdinfo")
        except OSError:
            continue
        for name in names:
            try:
                with open(f"/proc/{pid}/fdinfo/{name}", "rb") as file:
                    if any(_watches(line, inode) for line in file):
                        return True
            except OSError:
                continue
    return False


def _watches(line: bytes, inode: int) -> bool:
    """Return whether a line like `tfd: 5 events: 19 data: 5 pos:0 ino:3a7 sdev:8` fits."""
    if not line.startswith(b"tfd:"):
        return False
    words = line.split()
    events = int(words[words.index(b"events:") + 1], 16)
    inodes = [word[4:] for word in words if word.startswith(b"ino:")]
    return bool(events & 1) and inodes == [b"%x" % inode]


def signal_exactly(process: Process, number: int) -> None:
    """Send a signal to this process, and to no other that got its number meanwhile."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return  # it is gone
    try:
        now = read(process.pid)
        if now is not None and now.start_ticks == process.start_ticks:
            signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
