"""Paths as a user writes them: symlinks are kept, since a link to a release moves."""

from __future__ import annotations

import os


def working_directory() -> str:
    """Return the working directory as the shell names it: with symlinks, if PWD has them.

    A user who entered a directory through the link of a release means the link.
    """
    real, named = os.getcwd(), os.environ.get("PWD", "")
    try:
        if os.path.isabs(named) and os.path.samefile(named, real):
            return os.path.normpath(named)
    except OSError:
        return real
    return real


def absolute(path: str) -> str:
    """Return a path below `working_directory`, absolute, symlinks kept."""
    return os.path.normpath(os.path.join(working_directory(), path))
