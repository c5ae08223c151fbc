"""The report of a rehearsal as JSON, and where it is kept: with the release, or beside."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import codec, files
from gapless.rehearsal.model import Report


def encoded(report: Report) -> dict[str, Any]:
    """Return a report as data."""
    found: dict[str, Any] = codec.encode(report)
    return found


def write(path: str, report: dict[str, Any]) -> str:
    """Write a report; return why it could not be, or nothing."""
    try:
        files.make_directories(os.path.dirname(path), files.SHARED_DIRECTORY)
        files.write_json(path, report, files.GROUP_FILE)
    except OSError as error:
        return f"the report could not be kept at {path}: {error.strerror or error}"
    return ""
