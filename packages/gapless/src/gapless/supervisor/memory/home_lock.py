"""The lock of GAPLESS_HOME: who holds it supervises, as long as the home is there.

If the directory is removed, another supervisor can begin a new one of the same name.  Then
this one goes on with its apps, and leaves the other's state, notes and socket alone.
"""

from __future__ import annotations

import ctypes
import os

_ATTRIBUTES, _MOVED_SELF, _DELETED_SELF = 0x4, 0x800, 0x400


class HomeLock:
    """A lock that this process holds."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def is_ours(self) -> bool:
        """Return whether the file of the lock is still the one that is locked."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def watch(self) -> int:
        """Return a descriptor that is ready when the file goes; -1 if there is none."""
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor >= 0:
            mask = _ATTRIBUTES | _MOVED_SELF | _DELETED_SELF
            libc.inotify_add_watch(descriptor, os.fsencode(self._path), mask)
        return descriptor
