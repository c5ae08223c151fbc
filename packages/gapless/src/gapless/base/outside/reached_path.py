"""Write to a path that a configuration names, in a directory that may be somebody else's.

The keeper and the supervisor may be root, and the logs and pid files of an app may be in a
directory of the app's user, who can put a link there at any time.

Rule 1: a link that is not root's or our own may lead only to where its owner could write
anyway: into a directory of the same owner.
Rule 2: of what is in a directory, the last name is never followed, and a file that has
another name elsewhere is left alone where that could be somebody else's doing.
Rule 3: no link of another user leads through procfs.  What /proc/PID/fd and /proc/PID/root
name belongs to that user's process, but leads to files that it may not write (it can hold
any of them with O_PATH), and into its own mounts.
What is above holds for every link on the way (path_resolution(7)); it is what systemd calls
an unsafe transition (tmpfiles.d(5)).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

MOST_LINKS = 40
_HOW = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def parent_of(
    path: str, *, make: bool = False, mode: int = 0o755
) -> Iterator[tuple[int, str]]:
    """Open the directory that a path leads to; yield it with the last name in it.

    With *make* the directories that are not there are made with that mode.  The last
    name is no link then, unless it leads into procfs, as /dev/stdout does.  Raises OSError,
    with EACCES for a link that is not followed.
    """
    directory, name = _walk(os.path.abspath(path), mode if make else None)
    try:
        yield directory, name
    finally:
        os.close(directory)


def open_file(directory: int, name: str, how: int, mode: int = 0o640) -> int:
    """Open a file in a directory that `parent_of` found.  Raises OSError.

    *how* must not truncate: the file is looked at first.
    """
    found = os.fstat(directory)
    if _is_procfs(found):
        return os.open(name, how | os.O_CLOEXEC, mode, dir_fd=directory)
    how |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    descriptor = os.open(name, how, mode, dir_fd=directory)
    if _may_be_another(os.fstat(descriptor), found):
        os.close(descriptor)
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)
    return descriptor


def is_there(directory: int, name: str) -> bool:
    """Return whether something has a name in a directory."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def rename(directory: int, name: str, new: str) -> None:
    """Give what has a name in a directory another one there.  Raises OSError."""
    os.rename(name, new, src_dir_fd=directory, dst_dir_fd=directory)


def _may_be_another(file: os.stat_result, directory: os.stat_result) -> bool:
    """Return whether a file may have been given its name here by who may not write to it.

    A hard link makes no copy: fs.protected_hardlinks may be off.
    """
    if not stat.S_ISREG(file.st_mode) or file.st_nlink < 2:
        return False
    loose = directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return file.st_uid != directory.st_uid or bool(loose)


def _walk(path: str, mode: int | None) -> tuple[int, str]:
    """Return the directory of a path, open, and the last name in it."""
    owners: set[int] = set()
    """Those of the links that were followed."""
    directory, links = os.open("/", _HOW | os.O_DIRECTORY), 0
    rest = [each for each in path.split("/")[::-1] if each]
    try:
        while True:
            name = rest.pop()
            if owners and _is_procfs(os.fstat(directory)):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
            target = _target(name, directory, owners)
            if target is not None:
                links += 1
                if links > MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                if target.startswith("/"):
                    directory = _moved(directory, "/")
                rest += [each for each in target.split("/")[::-1] if each]
            elif not rest:
                break
            elif name != ".":
                if mode is not None and not is_there(directory, name):
                    _refuse_strangers(owners, directory, path)
                    _make(directory, name, mode)
                directory = _moved(directory, name)
            if not rest:
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        _refuse_strangers(owners, directory, path)
    except BaseException:
        os.close(directory)
        raise
    return directory, name


def _target(name: str, directory: int, owners: set[int]) -> str | None:
    """Return where a link leads, None for what is none; note a stranger who made it."""
    here = os.fstat(directory)
    if _is_procfs(here):
        return None
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    trusted = found.st_uid in (0, os.geteuid()) and found.st_nlink == 1
    if not trusted:  # one of root's with two names may have this one from somebody else
        owners.add(here.st_uid if found.st_nlink > 1 else found.st_uid)
    return os.readlink(name, dir_fd=directory)


def _refuse_strangers(owners: set[int], directory: int, path: str) -> None:
    """Refuse to write in a directory to which the link of another user has led."""
    if owners - {os.fstat(directory).st_uid}:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)


def _make(directory: int, name: str, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=directory)
    except FileExistsError:
        return
    # The umask takes from the mode that mkdir(2) is given.
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        if os.fstat(made).st_uid == os.geteuid():  # nobody has put another there
            os.fchmod(made, mode)
    finally:
        os.close(made)


def _moved(directory: int, name: str) -> int:
    """Return a descriptor of a directory in another one, which is closed."""
    how = _HOW | os.O_DIRECTORY
    if _is_procfs(os.fstat(directory)):
        how &= ~os.O_NOFOLLOW  # /proc/self, which is a link of the kernel's
    found = os.open(name, how, dir_fd=directory)
    os.close(directory)
    return found


def _is_procfs(found: os.stat_result) -> bool:
    """Return whether a directory is of the kernel, whose links nobody else makes."""
    try:
        return found.st_dev == os.stat("/proc/self/fd").st_dev
    except OSError:
        return False
