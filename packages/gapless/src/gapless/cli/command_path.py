"""The path of the command `gapless` itself, for files that call it later."""

from __future__ import annotations

import os
import sys


def command_path() -> str:
    """Return the absolute path of `gapless`: as it was called, else beside Python."""
    own = os.path.abspath(sys.argv[0])
    if os.path.basename(own) == "gapless" and os.access(own, os.X_OK):
        return own
    return os.path.join(os.path.dirname(sys.executable), "gapless")
