"""Paths as a user writes them: symlinks are kept, since a link to a release moves.

The shell may stand in a directory that was removed since, as in that of an old release.
Then only what is relative has no meaning; all else works.
"""

from __future__ import annotations

import contextlib
import os

_GONE = " (deleted)"
"""What the kernel puts behind the path of a directory that was removed (proc(5))."""


def working_directory() -> str:
    """Return the working directory as the shell names it: with symlinks, if PWD has them.

    A user who entered a directory through the link of a release means the link.  Of one
    that was removed it is the path that it had.
    """
    named = os.environ.get("PWD", "")
    try:
        real = os.getcwd()
    except FileNotFoundError:
        if os.path.isabs(named):
            return os.path.normpath(named)
        return os.readlink("/proc/self/cwd").removesuffix(_GONE)
    try:
        if os.path.isabs(named) and os.path.samefile(named, real):
            return os.path.normpath(named)
    except OSError:
        return real
    return real


def absolute(path: str) -> str:
    """Return a path below `working_directory`, absolute, symlinks kept."""
    if os.path.isabs(path):
        return os.path.normpath(path)
    return os.path.normpath(os.path.join(working_directory(), path))


def reenter() -> None:
    """Enter the directory that has the name of a removed one now, if there is any.

    A deployment that makes a directory anew leaves the shell in the old one.
    """
    with contextlib.suppress(OSError):
        if is_gone():
            os.chdir(working_directory())


def is_gone() -> bool:
    """Return whether the working directory was removed."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False
