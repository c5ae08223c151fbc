"""Where GAPLESS_HOME is."""

from __future__ import annotations

import os


def path() -> str:
    """Return GAPLESS_HOME, absolute; ~/.gapless unless the environment says otherwise."""
    chosen = os.environ.get("GAPLESS_HOME") or os.path.expanduser("~/.gapless")
    return os.path.abspath(chosen)


def here() -> str:
    """Return the working directory as its user sees it: by way of symlinks, if PWD knows.

    A directory that was entered through the link of a release is meant by that link.
    """
    real, seen = os.getcwd(), os.environ.get("PWD", "")
    try:
        if os.path.isabs(seen) and os.path.samefile(seen, real):
            return os.path.normpath(seen)
    except OSError:
        return real
    return real


def absolute(file: str) -> str:
    """Return a path as its user means it, absolute, symlinks kept."""
    return os.path.normpath(os.path.join(here(), file))
