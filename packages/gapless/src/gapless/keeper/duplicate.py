"""Duplicates of the descriptors of other processes (pidfd_getfd(2)).

That takes the rights of ptrace(2).  With Yama's `ptrace_scope` 1 an ordinary user has them
over descendants only: the keeper, whose descendants the instances are, and nobody else.
"""

from __future__ import annotations

import ctypes
import os

_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def duplicate(pid: int, number: int) -> int:
    """Return a duplicate of another process's descriptor, by its number there.

    Raises OSError: EPERM without the rights.
    """
    pidfd = os.pidfd_open(pid)
    try:
        copy = int(_libc.syscall(_PIDFD_GETFD, pidfd, number, 0))
        if copy < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
    finally:
        os.close(pidfd)
    return copy
