"""Directories: list one, remove one, make a file system durable."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Iterator

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LEVELS = 40
"""So many directories are open at once while one is removed."""


def names_in(directory: str) -> list[str]:
    """Return the names in a directory; none if there is no such directory."""
    return os.listdir(directory) if os.path.isdir(directory) else []


def remove(path: str) -> None:
    """Remove a file, a link or a whole directory, if it exists.  Raises OSError.

    A directory may be of any depth: a build may make one deeper than Python can recurse.
    """
    if os.path.isdir(path) and not os.path.islink(path):
        _remove_directory(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _remove_directory(path: str) -> None:
    top = os.open(path, _OPEN)
    try:
        _empty(top, top, itertools.count(), 0)
    finally:
        os.close(top)
    os.rmdir(path)


def _empty(directory: int, top: int, numbers: Iterator[int], depth: int) -> None:
    """Remove what is in a directory; what lies too deep is moved up to *top* first."""
    is_full = True
    while is_full:
        with os.scandir(directory) as entries:
            folders: list[str] = []
            others: list[str] = []
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                (folders if is_folder else others).append(entry.name)
        for name in others:
            os.unlink(name, dir_fd=directory)
        for name in folders:
            if depth >= _MOST_LEVELS:
                above = _free_name(top, numbers)
                os.rename(name, above, src_dir_fd=directory, dst_dir_fd=top)
                continue
            below = os.open(name, _OPEN, dir_fd=directory)
            try:
                _empty(below, top, numbers, depth + 1)
            finally:
                os.close(below)
            os.rmdir(name, dir_fd=directory)
        # The top has more than it had if something was moved up.
        is_full = directory == top and bool(folders)


def _free_name(directory: int, numbers: Iterator[int]) -> str:
    """Return a name that is free: a rename would replace an empty directory."""
    for number in numbers:
        name = f".moved-up-{number}"
        try:
            os.lstat(name, dir_fd=directory)
        except FileNotFoundError:
            return name
    raise AssertionError("numbers do not end")


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
