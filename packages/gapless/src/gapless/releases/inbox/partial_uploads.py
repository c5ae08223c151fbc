"""Parts: the hidden files of uploads under way, and of uploads that were interrupted."""

from __future__ import annotations

import contextlib
import fcntl
import os

from gapless.base import clock

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
    with contextlib.suppress(FileNotFoundError), os.scandir(inbox) as entries:
        for entry in entries:
            has_lock = entry.name.endswith(LOCKED_PART)
            is_part = has_lock or entry.name.endswith(PART)
            if not entry.name.startswith(".") or not is_part:
                continue
            with contextlib.suppress(OSError):  # it is gone, or another user's
                age_s = clock.wall() - entry.stat(follow_symlinks=False).st_mtime
                limit_s = LOCKS_WITHIN_S if has_lock else ABANDONED_S
                if age_s > limit_s and not (has_lock and _is_locked(entry.path)):
                    os.unlink(entry.path)


def _is_locked(path: str) -> bool:
    """Return whether a process holds a lock on a file; True if that is unknown."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
