"""Directories: list one, remove one, make a file system durable."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat


def names_in(directory: str) -> list[str]:
    """Return the names in a directory; none if there is no such directory."""
    return os.listdir(directory) if os.path.isdir(directory) else []


def make_own(directory: str) -> None:
    """Make a directory in which only its owner writes, and all may read.

    If it is there already, the right of others to write is taken away.  Raises OSError.
    """
    try:
        os.makedirs(directory, 0o755)
    except FileExistsError:
        mode = stat.S_IMODE(os.stat(directory).st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            with contextlib.suppress(PermissionError):  # it is another user's
                os.chmod(directory, mode & ~(stat.S_IWGRP | stat.S_IWOTH))


def remove(path: str) -> None:
    """Remove a file, a link or a whole directory, if it exists."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def sync_file_system(path: str) -> None:
    """Make everything on the file system of *path* durable at once (syncfs(2)).

    One call for ten thousand files takes less time than ten thousand calls.
    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)
