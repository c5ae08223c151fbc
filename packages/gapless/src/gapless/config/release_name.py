"""Which release a directory belongs to."""

from __future__ import annotations

import os


def release_name(directory: str) -> str:
    """Return the name of the release that a directory is or is in, else ""."""
    at = directory
    while at != os.path.dirname(at):
        if os.path.isfile(os.path.join(at, "RELEASE")):
            return os.path.basename(at)
        at = os.path.dirname(at)
    return ""
