"""The reports of one app as files: none is written over, and the oldest are removed."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import files

KEPT = 100


def add(directory: str, name: str, report: dict[str, Any]) -> None:
    """Write a report as NAME.json, or NAME.2.json and so on; keep the newest `KEPT`.

    Raises OSError.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    there = set(os.listdir(directory))
    path, number = f"{name}.json", 1
    while path in there:
        number += 1
        path = f"{name}.{number}.json"
    files.write_json(f"{directory}/{path}", report)
    _prune(directory, there)


def _prune(directory: str, earlier: set[str]) -> None:
    """Remove the oldest of the *earlier* reports, so that `KEPT` are left."""
    surplus = len(earlier) + 1 - KEPT
    if surplus > 0:
        by_age = sorted(earlier, key=lambda name: _written_at(f"{directory}/{name}"))
        for name in by_age[:surplus]:
            os.unlink(f"{directory}/{name}")


def _written_at(path: str) -> int:
    return os.stat(path).st_mtime_ns
