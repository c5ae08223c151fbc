"""What is written about a release: beside it, since a release itself never changes."""

from __future__ import annotations

import os

from gapless.base import files
from gapless.releases.model import Release, ReleaseSpec

FAILURE_FILE = "failed.txt"


def write_report(
    spec: ReleaseSpec, release: Release, host: str, report: dict[str, object]
) -> str:
    """Write the report of a release; return its path.

    The newest report is `HOST.json`.  An earlier one (a rollback returns to a release
    that has one) is kept as `HOST.1.json`, `HOST.2.json`..., oldest first.
    """
    folder = f"{spec.reports}/{release.name}"
    path = f"{folder}/{host}.json"
    os.makedirs(folder, exist_ok=True)
    number = 1
    while os.path.exists(path):
        try:
            os.link(path, f"{folder}/{host}.{number}.json")
            break
        except FileExistsError:
            number += 1
    files.write_json(path, report, 0o644)
    return path


def mark_failed(spec: ReleaseSpec, release: Release, reason: str) -> None:
    """Write down that a release failed, and why."""
    folder = f"{spec.reports}/{release.name}"
    os.makedirs(folder, exist_ok=True)
    files.write_atomically(f"{folder}/{FAILURE_FILE}", reason.encode(), 0o644)


def failure_of(spec: ReleaseSpec, name: str) -> str:
    """Return why a release failed; empty if it did not."""
    try:
        with open(f"{spec.reports}/{name}/{FAILURE_FILE}", encoding="utf-8") as file:
            return file.read().strip() or "it failed"
    except FileNotFoundError:
        return ""
