"""Directories: list one, remove one, make a file system durable."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat


def names_in(directory: str) -> list[str]:
    """Return the names in a directory; none if there is no such directory."""
    return os.listdir(directory) if os.path.isdir(directory) else []


def remove(path: str) -> None:
    """Remove a file, a link or a whole directory, if it exists."""
    if os.path.isdir(path) and not os.path.islink(path):
        try:
            shutil.rmtree(path)
        except (OSError, RecursionError):
            _remove_any(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _remove_any(path: str) -> None:
    """Remove a directory, however deep it is and whatever modes are in it.

    What is in a directory of it is moved to the top until nothing is deeper: that takes
    neither a stack nor a descriptor for each level.  Raises OSError.
    """
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(top, 0o700)
        while names := os.listdir(top):
            for name in names:
                _remove_one(top, name)
    finally:
        os.close(top)
    os.rmdir(path)


def _remove_one(top: int, name: str) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=top)
        return
    os.chmod(name, 0o700, dir_fd=top)  # it may have been made to be unreadable
    below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for each in os.listdir(below):
            found = os.stat(each, dir_fd=below, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                # Moving a directory writes its "..", so that its own mode counts as well.
                os.chmod(each, 0o700, dir_fd=below)
                new = f"removed-{os.urandom(8).hex()}"
                os.rename(each, new, src_dir_fd=below, dst_dir_fd=top)
            else:
                os.unlink(each, dir_fd=below)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=top)


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
