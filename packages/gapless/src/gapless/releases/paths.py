"""Directories: list one, make one, remove one."""

from __future__ import annotations

import contextlib
import os
import stat

from gapless.base import files

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLD = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LEVELS = 40
"""So many directories are open at once while one is removed."""


def names_in(directory: str) -> list[str]:
    """Return the names in a directory; none if there is no such directory."""
    return os.listdir(directory) if os.path.isdir(directory) else []


def make_own(directory: str) -> None:
    """Make a directory in which only its owner writes, and all may read.

    If it is there already, the right of others to write is taken away.  Raises OSError.
    """
    if not os.path.isdir(directory):
        files.make_directories(directory, files.SHARED_DIRECTORY)
    else:
        mode = stat.S_IMODE(os.stat(directory).st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            with contextlib.suppress(PermissionError):  # it is another user's
                os.chmod(directory, mode & ~(stat.S_IWGRP | stat.S_IWOTH))


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
        _Emptying(top).run()
    finally:
        os.close(top)
    os.rmdir(path)


class _Emptying:
    """Removes what is in a directory; what lies too deep is moved up to it first.

    What cannot be removed does not keep the rest.
    """

    def __init__(self, top: int) -> None:
        self._top, self._moved = top, 0
        self._error: OSError | None = None

    def run(self) -> None:
        """Raise the first OSError when all is done."""
        before = -1
        while before != self._moved:
            before, self._error = self._moved, None
            self._empty(self._top, 0)
        if self._error is not None:
            raise self._error

    def _empty(self, directory: int, depth: int) -> None:
        with os.scandir(directory) as entries:
            found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]
        for name, is_folder in found:
            try:
                if not is_folder:
                    os.unlink(name, dir_fd=directory)
                elif depth < _MOST_LEVELS:
                    self._remove(name, directory, depth)
                else:
                    above = self._free_name()
                    _let_in(name, directory)
                    os.rename(name, above, src_dir_fd=directory, dst_dir_fd=self._top)
            except OSError as error:
                self._error = self._error or error

    def _remove(self, name: str, directory: int, depth: int) -> None:
        _let_in(name, directory)
        below = os.open(name, _OPEN, dir_fd=directory)
        try:
            self._empty(below, depth + 1)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=directory)

    def _free_name(self) -> str:
        """Return a name that is free: a rename would replace an empty directory."""
        while True:
            self._moved += 1
            name = f".moved-up-{self._moved}"
            try:
                os.lstat(name, dir_fd=self._top)
            except FileNotFoundError:
                return name


def _let_in(name: str, directory: int) -> None:
    """Let ourselves into a directory that may have been made to be unreadable.

    Moving a directory writes its "..", so that its own mode counts then as well.  Whoever
    made it may put a link at its name meanwhile, which chmod(2) would follow: the directory
    is held by a descriptor that needs no right to read it (open(2), O_PATH).
    """
    held = os.open(name, _HOLD, dir_fd=directory)
    try:
        with contextlib.suppress(PermissionError):  # it is another user's
            os.chmod(f"/proc/self/fd/{held}", 0o700)
    finally:
        os.close(held)
