"""Parts: the hidden files of uploads under way, and of uploads that were interrupted."""

from __future__ import annotations

import contextlib
import fcntl
import os

from gapless.base import clock
from gapless.base.outside import files
from gapless.releases.inbox import opened

PART = ".part"
"""The ending of an upload under way, of `gapless push` over ssh."""
LOCKED_PART = ".part-locked"
"""The same in a mounted directory: its writer holds a lock (flock) on it."""
LOCKS_WITHIN_S = 5.0
"""A writer has locked its new part within this time."""
ABANDONED_S = 86_400.0
"""A part without a lock that has not grown for so long is abandoned."""


def remove_abandoned(inbox: str) -> None:
    """Remove the parts of uploads that were killed, or whose connection broke."""
    with contextlib.suppress(FileNotFoundError), opened.directory(inbox) as held:
        for name in os.listdir(held):
            if name.startswith(".") and name.endswith((PART, LOCKED_PART)):
                with contextlib.suppress(OSError):  # it is gone, or another user's
                    if _is_abandoned(name, held):
                        os.unlink(name, dir_fd=held)


def _is_abandoned(name: str, held: int) -> bool:
    """Return whether nobody writes a part any more.  Raises OSError."""
    found = os.stat(name, dir_fd=held, follow_symlinks=False)
    age_s = clock.wall() - found.st_mtime
    if not name.endswith(LOCKED_PART):
        return age_s > ABANDONED_S
    return age_s > LOCKS_WITHIN_S and not _is_locked(name, held)


def _is_locked(name: str, held: int) -> bool:
    """Return whether a process holds a lock on a file; True if that is unknown."""
    descriptor = files.open_regular(name, dir_fd=held)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
