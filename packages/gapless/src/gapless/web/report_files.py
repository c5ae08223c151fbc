"""The reports of an app on this host, newest first, and each as a picture."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from gapless.base import names
from gapless.base.names import Home
from gapless.base.outside import files as outside_files
from gapless.base.outside import secrets
from gapless.web.board import shown
from gapless.web.timeline import timeline

MOST = 100
MOST_BYTES = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}\.json")
_KEYS = (
    *("app", "action", "outcome", "reason", "hint", "generation", "release"),
    *("instances", "started_at", "connections", "not_taken_over", "outgoing"),
    *("requests", "procedures", "longest", "cut", "log_tail"),
)


def listed(home: Home, app: str) -> list[dict[str, Any]]:
    """Return what the reports of an app are: the newest first."""
    if not names.is_app_name(app):
        return []
    directory = f"{home.reports}/{app}"
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    at = entry.stat(follow_symlinks=False).st_mtime_ns
                    found.append((at, entry.name))
    except OSError:
        return []
    rows = []
    for _, name in sorted(found, reverse=True)[:MOST]:
        report = _read(f"{directory}/{name}")
        if report is not None:
            rows.append(
                shown(
                    {"name": name}
                    | {key: report.get(key) for key in _SUMMARY}
                    | {"cut": _number_cut(report)}
                )
            )
    return rows


_SUMMARY = ("action", "outcome", "started_at", "generation", "release", "reason")


def one(home: Home, app: str, name: str) -> dict[str, Any] | None:
    """Return a report with its picture; None if there is none."""
    if not names.is_app_name(app) or not _NAME.fullmatch(name):
        return None
    report = _read(f"{home.reports}/{app}/{name}")
    if report is None:
        return None
    found: dict[str, Any] = shown({key: report.get(key) for key in _KEYS})
    return found | {"picture": timeline(report)}


def _read(path: str) -> dict[str, Any] | None:
    try:
        found = json.loads(outside_files.read(path, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return secrets.shown(found) if isinstance(found, dict) else None


def _number_cut(report: dict[str, Any]) -> int:
    """Return how much was cut: connections, requests, procedures and calls."""
    total = 0
    cut = report.get("cut")
    for each in cut if isinstance(cut, list) else ():
        for key in ("connections", "requests", "procedures", "outgoing"):
            count = each.get(key) if isinstance(each, dict) else None
            total += count if isinstance(count, int) else 0
    return total
