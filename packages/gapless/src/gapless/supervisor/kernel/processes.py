"""Processes and what they hold open, from /proc (proc(5))."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
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


class Table:
    """Every process of the host that can be seen, all read at about one moment."""

    def __init__(self, rows: dict[int, Process]) -> None:
        self.rows = rows
        self._children: dict[int, list[int]] = {}
        self._sessions: dict[int, list[int]] = {}
        for pid, process in rows.items():
            self._children.setdefault(process.parent, []).append(pid)
            self._sessions.setdefault(process.session, []).append(pid)

    def is_it(self, pid: int, start_ticks: int) -> bool:
        """Return whether the process of that number is the one that started then."""
        found = self.rows.get(pid)
        return found is not None and found.start_ticks == start_ticks

    def children(self, pid: int) -> list[int]:
        """Return the children of a process."""
        return self._children.get(pid, [])

    def tree(self, starts: set[int], *, session: int) -> set[int]:
        """Return processes, everything in a session, and all descendants of these.

        0 stands for no process, or no session.
        """
        found = {pid for pid in starts if pid in self.rows}
        if session:
            found |= set(self._sessions.get(session, ()))
        waiting = list(found)
        while waiting:
            for child in self.children(waiting.pop()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return found


def snapshot() -> Table:
    """Return every process of the host that can be seen."""
    return Table(read_all([int(n) for n in os.listdir("/proc") if n.isdigit()]))


def read_all(pids: Iterable[int]) -> dict[int, Process]:
    """Return those of the processes that are there."""
    found = (read(pid) for pid in pids)
    return {process.pid: process for process in found if process is not None}


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


def boot_id() -> str:
    """Return what tells this boot of the machine from every other; empty if unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def pipe_inodes(pid: int) -> set[int]:
    """Return the inodes of the pipes that are a process's output."""
    found = set()
    for number in (1, 2):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
        if target.startswith("pipe:["):
            found.add(int(target[6:-1]))
    return found


def descriptors(pid: int) -> Iterator[tuple[str, str]]:
    """Yield the descriptors of a process, each with what its link names.

    None of a process that is gone, or that may not be looked at.
    """
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue  # it was closed meanwhile
        yield name, target


def open_sockets(pid: int) -> Iterator[tuple[str, int]]:
    """Yield the descriptors of a process that are sockets, each with its inode."""
    for name, target in descriptors(pid):
        if target.startswith("socket:["):
            yield name, int(target[8:-1])


def socket_inodes(pids: Iterable[int]) -> frozenset[int]:
    """Return the inodes of the sockets that processes hold open."""
    return frozenset(inode for pid in pids for _, inode in open_sockets(pid))


def listening_inodes() -> frozenset[int]:
    """Return the inodes of every socket on this host that listens: TCP and Unix-domain."""
    found = set()
    for name in ("tcp", "tcp6"):
        for fields in _rows(name):
            if fields[3] != b"0A":
                break  # those that listen come first
            found.add(int(fields[9]))
    # __SO_ACCEPTCON of <linux/net.h>
    found |= {int(f[6]) for f in _rows("unix") if int(f[3], 16) & 0x10000}
    return frozenset(found)


def is_open(inode: int) -> bool:
    """Return whether a socket listens, or is one of UDP: a program on this host has it."""
    datagrams = (int(fields[9]) for name in ("udp", "udp6") for fields in _rows(name))
    return inode in listening_inodes() or inode in datagrams


def _rows(name: str) -> Iterator[list[bytes]]:
    """Yield the rows of a table of sockets without its heading; none if there is none."""
    try:
        with open(f"/proc/net/{name}", "rb") as file:
            next(file, None)
            for line in file:
                yield line.split()
    except OSError:
        return


def holder_of(inode: int) -> tuple[int, str] | None:
    """Return pid and name of a process that holds a socket, if we may see it."""
    for pid, process in snapshot().rows.items():
        if inode in socket_inodes((pid,)):
            return pid, process.name
    return None


def listens_by_epoll(pids: Iterable[int], inode: int) -> bool:
    """Return whether an epoll set of a process waits for connections on a socket."""
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fdinfo")
        except OSError:
            continue
        if any(epoll_watches(pid, name, inode) for name in names):
            return True
    return False


def epoll_watches(pid: int, number: int | str, inode: int) -> bool:
    """Return whether a descriptor is an epoll set that waits for connections there."""
    try:
        with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
            return any(_watches(line, inode) for line in file)
    except OSError:
        return False


def is_socket(pid: int, number: int, inode: int) -> bool:
    """Return whether a descriptor of a process is the socket of that inode."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{number}") == f"socket:[{inode}]"
    except OSError:
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
