"""Files that an earlier supervisor was writing when it died."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from gapless.base import files
from gapless.base.names import Home

_HALF_BOUND = re.compile(r"(supervisor|drain)\.sock\.\d+")


def remove_leftovers(home: Home) -> None:
    """Remove them; whoever calls this holds the lock of the supervisor.  Never raises."""
    for path in list(_leftovers(home)):
        try:
            os.unlink(path)
        except OSError:
            continue  # a directory, or a disk that is read-only: it does no harm


def _leftovers(home: Home) -> Iterator[str]:
    for name in _names(home.path):
        if _HALF_BOUND.fullmatch(name) or _whole(name) == "state.json":
            yield f"{home.path}/{name}"
    for app in _names(home.reports):
        directory = f"{home.reports}/{app}"
        for name in _names(directory):
            if _whole(name).endswith(".json"):
                yield f"{directory}/{name}"


def _whole(name: str) -> str:
    """Return which file a half-written one was to become; empty for all others."""
    part = files.part_of(name)
    return part[0] if part is not None else ""


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
