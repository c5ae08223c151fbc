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


def state_of(path: str) -> FileState | None:
    """Return the state of a file now, or None if there is no such file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return FileState(
        size_bytes=found.st_size, changed_ns=found.st_mtime_ns, inode=found.st_ino
    )
