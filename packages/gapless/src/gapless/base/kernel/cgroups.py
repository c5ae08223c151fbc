"""Control groups, where the kernel lets us make one (cgroups(7), v2).

A process cannot leave its group without the rights to another one, and what it starts is
born into it: so the group says which processes an instance has, whatever became of their
parents.  Ours are below the group in which the supervisor runs; supervisor and keeper
stay where they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_POPULATED = b"populated 1"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where the groups are mounted, and in which of them this process is."""

    point: str
    root: str
    """The group that is seen at *point*."""
    own: str

    @property
    def directory(self) -> str:
        """The directory of the group in which this process is."""
        return self.directory_of(self.own)

    def directory_of(self, group: str) -> str:
        """Return the directory of a group."""
        return os.path.normpath(f"{self.point}/{os.path.relpath(group, self.root)}")

    def group_of(self, directory: str) -> str:
        """Return which group a directory is."""
        inside = os.path.relpath(directory, self.point)
        return os.path.normpath(f"{self.root.rstrip('/')}/{inside}")


def find() -> Hierarchy | None:
    """Return the hierarchy in which this process is and which it sees; None without."""
    try:
        own = _group(os.getpid())
        with open("/proc/self/mountinfo", "rb") as file:
            mounts = [os.fsdecode(line).split() for line in file if _IS_V2 in line]
    except OSError:
        return None
    for words in mounts:
        found = Hierarchy(words[4], words[3], own)
        if own and not os.path.relpath(own, found.root).startswith(".."):
            return found
    return None


_IS_V2 = b" - cgroup2 "


def _group(pid: int) -> str:
    """Return the group of a process; "" if it is in none.  Raises OSError."""
    with open(f"/proc/{pid}/cgroup", "rb") as file:
        lines = file.read().split(b"\n")
    return os.fsdecode(next((e[3:] for e in lines if e.startswith(b"0::")), b""))


def has(group: str, pid: int) -> bool:
    """Return whether a process is in a group, or in one below it."""
    try:
        found = _group(pid)
    except OSError:
        return False
    return found == group or found.startswith(f"{group}/")


def make(path: str) -> bool:
    """Make the group of one instance; return whether it is there and empty."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return not is_populated(path)
    except OSError:
        return False
    return True


def enter(path: str, pid: int) -> None:
    """Move a process into a group.  Raises OSError; one that has ended is none."""
    descriptor = os.open(f"{path}/cgroup.procs", os.O_WRONLY)
    try:
        os.write(descriptor, str(pid).encode())
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def remove(path: str) -> bool:
    """Remove a group and those below it; return whether it is gone.

    One with a process in it stays.
    """
    try:
        for each in below(path):
            remove(each)
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def is_populated(path: str) -> bool:
    """Return whether a process lives in a group or below it, or may live there."""
    try:
        descriptor = os.open(f"{path}/cgroup.events", os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # out of descriptors is not gone
    try:
        return _POPULATED in os.read(descriptor, 256)
    except OSError:
        return False  # the group was removed (ENODEV)
    finally:
        os.close(descriptor)


def pids(path: str) -> list[int]:
    """Return the living processes of a group and of those below it."""
    found: list[int] = []
    try:
        with open(f"{path}/cgroup.procs", "rb") as file:
            found += map(int, file.read().split())
        # A directory of the kernel's has a link for each directory in it.
        if os.stat(path).st_nlink > 2:
            for each in below(path):
                found += pids(each)
    except OSError:
        return found
    return found


def kill(path: str) -> bool:
    """Kill every process of a group at once; return whether the kernel can (Linux 5.14)."""
    try:
        descriptor = os.open(f"{path}/cgroup.kill", os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(descriptor, b"1")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def below(path: str) -> list[str]:
    """Return the directories of the groups right below one.  Raises OSError."""
    with os.scandir(path) as entries:
        return [each.path for each in entries if each.is_dir(follow_symlinks=False)]
