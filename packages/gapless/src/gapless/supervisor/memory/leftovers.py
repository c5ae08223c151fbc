"""Files that an earlier supervisor was writing when it died."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from gapless.base.names import Home

_PART = r"\.([0-9a-f]+\.)?\d+\.part"
"""NAME.RANDOM.PID.part (base.files), of versions before without the random word."""
_HALF_WRITTEN = re.compile(rf"(state\.json{_PART}|(supervisor|drain)\.sock\.\d+)")
_HALF_REPORT = re.compile(rf".+\.json{_PART}")


def remove_leftovers(home: Home) -> None:
    """Remove them; whoever calls this holds the lock of the supervisor.  Never raises."""
    for path in list(_leftovers(home)):
        try:
            os.unlink(path)
        except OSError:
            continue  # a directory, or a disk that is read-only: it does no harm


def _leftovers(home: Home) -> Iterator[str]:
    yield from _matching(home.path, _HALF_WRITTEN)
    for app in _names(home.reports):
        yield from _matching(f"{home.reports}/{app}", _HALF_REPORT)


def _matching(directory: str, pattern: re.Pattern[str]) -> Iterator[str]:
    for name in _names(directory):
        if pattern.fullmatch(name):
            yield f"{directory}/{name}"


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
