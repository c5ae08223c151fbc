"""The reports of one app as files: none is written over, and the oldest are removed."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from gapless.base import files
from gapless.base.outside import files as outside_files
from gapless.base.outside import reached_path

KEPT = 100
MOST_BYTES = 4 << 20
"""No report of ours has so many."""
_IDENTITY = ("app", "action", "token", "started_at")
"""Two reports with the same values of these are of the same operation."""


def add(directory: str, name: str, report: dict[str, Any]) -> None:
    """Write a report as NAME.json, or NAME.2.json and so on; keep the newest `KEPT`.

    A supervisor that died after this may have noted the operation as under way: the next
    one ends it again, and writes the same report.  Raises OSError.
    """
    inside = os.path.join(directory, name)
    with reached_path.parent_of(inside, make=True, mode=0o700) as (opened, _):
        _add(f"/proc/self/fd/{opened}", name, report)


def _add(directory: str, name: str, report: dict[str, Any]) -> None:
    """Write it in a directory that is open: nobody can put another in its place."""
    there = set(os.listdir(directory))
    path, number = f"{name}.json", 1
    while path in there and not _is_of(f"{directory}/{path}", report):
        number += 1
        path = f"{name}.{number}.json"
    # One line is cheap; the state has the last report too, and is synced.
    content = files.as_json(report, sort_keys=True)
    files.write_atomically(f"{directory}/{path}", content, durable=False)
    _prune(directory, there - {path})


def _is_of(path: str, report: dict[str, Any]) -> bool:
    """Return whether a file has a report of the same operation."""
    try:
        # It may be a FIFO or a link by now: the directory may be another user's.
        earlier = json.loads(outside_files.read(path, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(earlier, dict) or not report.get("started_at"):
        return False
    return all(earlier.get(field) == report.get(field) for field in _IDENTITY)


def _prune(directory: str, earlier: set[str]) -> None:
    """Remove the oldest of the *earlier* reports, so that `KEPT` are left."""
    surplus = len(earlier) + 1 - KEPT
    if surplus > 0:
        by_age = sorted(earlier, key=lambda name: _written_at(f"{directory}/{name}"))
        for name in by_age[:surplus]:
            with contextlib.suppress(OSError):  # a directory, which is none of ours
                os.unlink(f"{directory}/{name}")


def _written_at(path: str) -> int:
    return os.lstat(path).st_mtime_ns
