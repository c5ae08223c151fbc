"""Which files and directories processes hold open, and their locks, from /proc (proc(5)).

What may not be seen, as of a process that is not dumpable, has no files here.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gapless.supervisor.kernel import processes

FileIdentity = tuple[int, int]
"""Device and inode: a file by another name is the same."""
MAPPED = -1
_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272}
_KCMP_FILE = 0
_ELSEWHERE = ("/dev/", "/proc/", "/sys/", "/memfd:")
"""Devices, views of the kernel and memory: no file on a disk."""
GONE = " (deleted)"
"""Behind what the link of a descriptor names, if that was removed."""
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock of flock(2) or fcntl(2) that is held, or that is waited for."""

    place: str
    """The file, as the kernel names it: device and inode."""
    pid: int
    """Who took it or waits; not positive if the kernel does not say, as of OFD locks."""
    exclusive: bool
    waits: bool


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file or a directory that a process holds open."""

    pid: int
    number: int
    """The descriptor; MAPPED if it is mapped into memory, and closed as the case may be."""
    path: str
    inode: int
    writes: bool
    appends: bool
    """Whether it writes behind the end only."""
    locks: tuple[Lock, ...]


def open_files(pid: int) -> Iterator[OpenFile]:
    """Yield what a process holds open that has a path, and was not removed.

    What it can write to in memory counts as open.
    """
    yield from _mapped(pid)
    for name, path in processes.descriptors(pid):
        if not _is_on_disk(path):
            continue
        try:
            yield _read(pid, int(name), path)
        except (OSError, ValueError):
            continue  # it was closed meanwhile


def open_for_writing(
    pids: Iterable[int], below: tuple[str, ...]
) -> dict[str, FileIdentity]:
    """Return the files below some directories that processes have open for writing.

    A path is as the kernel knows it, without symlinks; of a file that was removed it is
    the one that it had.  What may not be looked at is left out.
    """
    inside = tuple(f"{directory.rstrip('/')}/" for directory in below)
    found: dict[str, FileIdentity] = {}
    for pid in pids:
        for name, target in processes.descriptors(pid):
            if not (target.startswith(inside) or target in below):
                continue
            path = target.removesuffix(GONE)
            if path in found:
                continue
            try:
                if _read(pid, int(name), path).writes:
                    found[path] = identity(os.stat(f"/proc/{pid}/fd/{name}"))
            except (OSError, ValueError):
                continue  # it was closed meanwhile
    return found


def identity(found: os.stat_result) -> FileIdentity:
    """Return by what a file is known, whatever its name."""
    return found.st_dev, found.st_ino


def _is_on_disk(path: str) -> bool:
    here = path.startswith("/") and not path.startswith(_ELSEWHERE)
    return here and not path.endswith(GONE)


def _mapped(pid: int) -> Iterator[OpenFile]:
    """Yield the files that a process has mapped to write to them."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            found = [line.split(maxsplit=5) for line in file if b" rw-s " in line]
    except OSError:
        return
    for words in found:
        path = os.fsdecode(words[5].rstrip(b"\n")) if len(words) > 5 else ""
        if _is_on_disk(path):
            yield OpenFile(
                pid=pid,
                number=MAPPED,
                path=path,
                inode=int(words[4]),
                writes=True,
                appends=False,
                locks=(),
            )


def link_to(each: OpenFile) -> str:
    """Return a path by which the kernel finds the file, wherever it is mounted."""
    if each.number == MAPPED:
        return f"/proc/{each.pid}/root{each.path}"
    return f"/proc/{each.pid}/fd/{each.number}"


def _read(pid: int, number: int, path: str) -> OpenFile:
    """Return an open file from its fdinfo.  Raises OSError, ValueError."""
    flags, inode = 0, -1
    locks: list[Lock] = []
    with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
        lines = file.read().splitlines()
    for line in lines:
        key, _, value = line.partition(b":")
        if key == b"flags":
            flags = int(value, 8)
        elif key == b"ino":
            inode = int(value)
        elif key == b"lock" and (lock := parse_lock(value)) is not None:
            locks.append(lock)
    if inode < 0:  # before Linux 5.14
        inode = os.stat(f"/proc/{pid}/fd/{number}").st_ino
    return OpenFile(
        pid=pid,
        number=number,
        path=path,
        inode=inode,
        writes=flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_PATH,
        appends=bool(flags & os.O_APPEND),
        locks=tuple(locks),
    )


def waiting_locks() -> list[Lock]:
    """Return the locks that processes wait for."""
    try:
        with open("/proc/locks", "rb") as file:
            found = [parse_lock(line) for line in file if b"->" in line]
    except OSError:
        return []
    return [lock for lock in found if lock is not None]


def parse_lock(line: bytes) -> Lock | None:
    """Return a lock from a line like `1: -> POSIX ADVISORY WRITE 7 08:01:5 0 EOF`.

    None if it is of a kind that keeps no other process out, or of no file.
    """
    words = line.split()[1:]
    waits = words[:1] == [b"->"]
    words = words[1:] if waits else words
    if len(words) < 5 or words[0] not in (b"FLOCK", b"POSIX", b"OFDLCK"):
        return None
    place = words[4].decode(errors="replace")
    if place.count(":") != 2:
        return None
    try:
        pid = int(words[3])
    except ValueError:
        return None
    return Lock(place, pid, exclusive=words[2] in (b"WRITE", b"RW"), waits=waits)


def inode_of(place: str) -> int:
    """Return the inode that a lock names; -1 if it names none."""
    number = place.rpartition(":")[2]
    return int(number) if number.isdigit() else -1


def same_description(one: OpenFile, other: OpenFile) -> bool:
    """Return whether one was inherited from the other, or both from a third process.

    Processes that opened a file by themselves have descriptions of their own.  Where the
    kernel cannot be asked (kcmp(2)), equal numbers are taken for inherited ones.  Of what
    is mapped nothing is known.
    """
    if MAPPED in (one.number, other.number):
        return True
    call = _KCMP.get(os.uname().machine)
    if call is not None:
        order = int(
            _libc.syscall(
                call, one.pid, other.pid, _KCMP_FILE, one.number, other.number
            )
        )
        if order >= 0:
            return order == 0
        if ctypes.get_errno() in (errno.EBADF, errno.ESRCH):
            return True  # it was closed meanwhile: nothing is known of it
    return one.number == other.number
