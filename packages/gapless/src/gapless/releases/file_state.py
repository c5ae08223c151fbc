"""The state of a file at one moment: whether it has changed since."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """Size, time of change and inode of a file at one moment."""

    size_bytes: int
    changed_ns: int
    inode: int


def of(found: os.stat_result) -> FileState:
    """Return the state of a file that was looked at."""
    return FileState(
        size_bytes=found.st_size, changed_ns=found.st_mtime_ns, inode=found.st_ino
    )


def state_of(
    path: str, *, dir_fd: int | None = None, follows: bool = False
) -> FileState | None:
    """Return the state of a file now, or None if there is none that can be looked at.

    That of a link is its own, unless *follows*.
    """
    try:
        return of(os.stat(path, dir_fd=dir_fd, follow_symlinks=follows))
    except OSError:
        return None
