"""The files that processes have open for writing, from /proc (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_DELETED = " (deleted)"


FileIdentity = tuple[int, int]
"""Device and inode: a file by another name is the same."""


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
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue  # it is gone, or not for us
        for number in numbers:
            link = f"/proc/{pid}/fd/{number}"
            try:
                path = os.readlink(link)
                if not (path.startswith(inside) or path in below):
                    continue
                path = path.removesuffix(_DELETED)
                if path not in found and _writes(pid, number):
                    found[path] = identity(os.stat(link))
            except OSError:
                continue
    return found


def identity(found: os.stat_result) -> FileIdentity:
    """Return by what a file is known, whatever its name."""
    return found.st_dev, found.st_ino


def _writes(pid: int, number: str) -> bool:
    """Return whether a descriptor is open for writing."""
    try:
        with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
            for line in file:
                if line.startswith(b"flags:"):
                    return int(line.split()[1], 8) & _ACCESS != os.O_RDONLY
    except (OSError, ValueError, IndexError):
        return False
    return False
