"""Files in directories that others may write: opened once, and read within a limit.

Rule: a name is only a way to a descriptor.  What is decided, read or copied is what the
descriptor has: no link is followed, nothing but a regular file is opened, a FIFO or a
device never makes anybody wait, and no more is read than was said beforehand.
"""

from __future__ import annotations

import errno
import os
import stat

_HOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_regular(path: str, *, dir_fd: int | None = None) -> int:
    """Return a descriptor of a regular file that is no link (open(2), O_NOFOLLOW).

    Only the last part of *path* is checked: name a directory that others may write by
    *dir_fd*.  Raises OSError, with ELOOP for a link and EINVAL for anything else.
    """
    descriptor = os.open(path, _HOW, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_directory(path: str, *, dir_fd: int | None = None) -> int:
    """Return a descriptor of a directory that is no link.  Raises OSError."""
    how = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, how, dir_fd=dir_fd)


def read(path: str, most_bytes: int, *, dir_fd: int | None = None) -> bytes:
    """Return what a regular file has.  Raises OSError, with EFBIG if it has more."""
    descriptor = open_regular(path, dir_fd=dir_fd)
    with open(descriptor, "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes} bytes", path)
    return content
