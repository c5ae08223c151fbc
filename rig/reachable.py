"""Directories of tests that other users may enter: pytest closes its own to them."""

from __future__ import annotations

import tempfile
from pathlib import Path


def for_others(path: Path) -> None:
    """Let every user reach a directory of the tests, and list it."""
    base = Path(tempfile.gettempdir()).resolve()
    for each in (path, *path.parents):
        if base not in each.resolve().parents:
            return
        each.chmod(each.stat().st_mode & 0o7777 | 0o055)
