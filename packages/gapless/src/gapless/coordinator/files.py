"""The file calls of the directory coordinator; tests inject faults here.

Rule: others may write the directory.  Below its root no link is followed, only regular
files are read, and neither a file nor a listing is read beyond its bound.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gapless.base import files as disk
from gapless.base.outside import files

MOST_NAMES = 50_000
"""In one directory: ten minutes of versions that are written 50 times a second."""
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Files:
    """Files on a file system that other hosts write to as well.  Methods raise OSError."""

    def __init__(self, root: str) -> None:
        """*root* may be reached through links; each path is below it."""
        self._root = root

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory; EFBIG if there are more than `MOST_NAMES`."""
        with self._opened(directory) as step:
            descriptor = files.open_directory(".", dir_fd=step)
        found: list[str] = []
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if len(found) == MOST_NAMES:
                        why = f"it has more than {MOST_NAMES} names"
                        raise OSError(errno.EFBIG, why, directory)
                    found.append(entry.name)
        finally:
            os.close(descriptor)
        return found

    def read(self, path: str, most_bytes: int) -> bytes:
        """Return a regular file; EFBIG if it has more than *most_bytes*."""
        with self._at(path) as (step, name):
            return files.read(name, most_bytes, dir_fd=step)

    def create(self, path: str, content: bytes) -> None:
        """Write a new file durably; its name is, once it has another by `link`."""
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._at(path) as (step, name):
            descriptor = os.open(name, how, 0o644, dir_fd=step)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            disk.sync(file.fileno())

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, durably, which must not exist yet (link(2))."""
        with self._at(source) as (step, name), self._at(target) as (to, new):
            os.link(name, new, src_dir_fd=step, dst_dir_fd=to, follow_symlinks=False)
            # Else a version could go, and its number be used again.
            _sync(to)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        with self._at(path) as (step, name):
            os.unlink(name, dir_fd=step)

    def modified_at(self, path: str) -> float:
        """Return when a file was written, in seconds on the clock of the file system."""
        with self._at(path) as (step, name):
            return os.stat(name, dir_fd=step, follow_symlinks=False).st_mtime

    def make_directory(self, directory: str) -> None:
        """Make a directory, and the directories above it, durably."""
        if not os.path.isdir(self._root):
            os.makedirs(self._root, exist_ok=True)
            disk.sync_directory(os.path.dirname(self._root))
        with self._opened(directory, makes=True):
            return

    @contextmanager
    def _at(self, path: str) -> Iterator[tuple[int, str]]:
        """Yield a descriptor of the directory of a file, and the file's name in it."""
        directory, _, name = path.rpartition("/")
        with self._opened(directory) as step:
            yield step, name

    @contextmanager
    def _opened(self, directory: str, *, makes: bool = False) -> Iterator[int]:
        """Yield a descriptor of one (O_PATH); ENOTDIR where a link is on the way."""
        step = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.path.relpath(directory, self._root).split("/"):
                if makes:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=step)
                        _sync(step)
                before, step = step, os.open(name, _STEP, dir_fd=step)
                os.close(before)
            yield step
        finally:
            os.close(step)


def _sync(step: int) -> None:
    """Make the names in a directory durable: one opened by O_PATH cannot be synced."""
    descriptor = files.open_directory(".", dir_fd=step)
    try:
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
