"""The ETag of a file: a digest of its content.

The time of a file tells no releases apart: `npm pack` and reproducible builds give all
files one time, and a page that names another script has the size of the one before.  A
digest is the same on every host and in every copy of a release, so a browser that is sent
to another host need not load a file again; a path or an inode would differ there.
"""

from __future__ import annotations

import hashlib
import os
import threading

MOST_READ_BYTES = 64 << 20
"""A larger file is known by its inode and times: to read it would hold up its answer."""
MOST_KEPT = 10_000

_Key = tuple[int, ...]


class ContentTags:
    """The tags of the files that were asked for.  Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tags: dict[_Key, str] = {}
        """By the file and its state: a changed file is read again."""

    def of(self, path: str, status: os.stat_result) -> str:
        """Return the ETag of a file; it is read if it was not before.  Raises OSError."""
        # Programs may set all other times, but not st_ctime (inode(7)).
        key = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        with self._lock:
            found = self._tags.get(key)
        if found is None:
            found = f'"{_digest(path, key, status.st_size)}"'
            with self._lock:
                self._tags[key] = found
                if len(self._tags) > MOST_KEPT:
                    del self._tags[next(iter(self._tags))]
        return found


def _digest(path: str, key: _Key, size: int) -> str:
    if size > MOST_READ_BYTES:
        return hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
