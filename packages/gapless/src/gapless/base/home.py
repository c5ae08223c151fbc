"""Where GAPLESS_HOME is."""

from __future__ import annotations

import os

from gapless.base import paths


def path() -> str:
    """Return GAPLESS_HOME, absolute; ~/.gapless unless the environment names another."""
    chosen = os.environ.get("GAPLESS_HOME") or os.path.expanduser("~/.gapless")
    return os.path.abspath(os.path.join(paths.working_directory(), chosen))
