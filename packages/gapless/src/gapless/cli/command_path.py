"""The path of the command `gapless` itself, for files that call it later."""

from __future__ import annotations

import os
import sys

from gapless.base.errors import MisuseError

ONE_FILE = ".pyz"
"""How the name of the one file ends that holds all of gapless."""


def command_path() -> str:
    """Return the absolute path of `gapless`: as it was called, else beside Python.

    Raises MisuseError for a file that cannot be called.
    """
    own = os.path.abspath(sys.argv[0])
    if os.path.basename(own) == "gapless" and os.access(own, os.X_OK):
        return own
    if own.endswith(ONE_FILE):
        if not os.access(own, os.X_OK):
            raise MisuseError(
                f"{own} cannot be called by its path: it is not executable",
                hint=f"chmod +x {own}",
            )
        return own
    return os.path.join(os.path.dirname(sys.executable), "gapless")
