"""The changes from the configuration that runs to the one that is declared."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any

from gapless.base import codec
from gapless.base.outside import secrets
from gapless.supervisor.decide.addresses import dropped
from gapless.supervisor.memory import spec

Changes = list[dict[str, Any]]
_MIB, _HOUR_S = 1 << 20, 3600
_NAMES = {
    "log.rotate_bytes": ("log.rotate_mb", _MIB),
    "log.rotate_s": ("log.rotate_hours", _HOUR_S),
    "renew.memory_bytes": ("renew.memory_mb", _MIB),
    "limits.memory_bytes": ("limits.memory_mb", _MIB),
    "limits.core_bytes": ("limits.core_mb", _MIB),
    "environment_files": ("environment_file", 0),
    "declared_directory": ("directory", 0),
}
"""Settings that a file calls otherwise, and how many of the unit here are one of that."""


def of_first(action: str) -> Changes:
    """Return what becomes of an app that does not run: `start`, or `register`."""
    return [_change("status", None, "online" if action == "start" else "stopped")]


def between(
    running: spec.AppSpec,
    wanted: spec.AppSpec,
    listens: Iterable[str],
    drops: Collection[str] = (),
) -> Changes:
    """Return each setting that differs, and which addresses the app would give up.

    It *listens* on some; of a variable only the name is shown, not the value.
    """
    before, after = codec.encode(running), codec.encode(wanted)
    found: Changes = []
    has_moved = before["declared_directory"] != after["declared_directory"]
    for field in dataclasses.fields(spec.AppSpec):
        old, new = before[field.name], after[field.name]
        if field.name == "directory" and has_moved:
            continue  # the directory that is written down says it
        if field.name == "environment":
            found += _variables(old, new)
        elif isinstance(old, dict):
            found += [
                _change(f"{field.name}.{key}", old[key], new[key])
                for key in old
                if old[key] != new[key]
            ]
        elif old != new and field.name != "configured":
            found.append(_change(field.name, old, new))
    found += [
        {"key": "addresses", "old": address, "new": None, "reason": reason}
        for address, reason in dropped(running, wanted, listens, drops).items()
    ]
    known = secrets.values_of(running.environment)
    changes: Changes = secrets.shown(
        found, known | secrets.values_of(wanted.environment)
    )
    return changes


def _change(key: str, old: Any, new: Any) -> dict[str, Any]:
    """Return a setting that differs, as a file calls it."""
    name, unit = _NAMES.get(key, (key, 0))
    if unit:
        old, new = (None if each is None else each / unit for each in (old, new))
    return {"key": name, "old": old, "new": new}


def _variables(old: dict[str, str], new: dict[str, str]) -> Changes:
    names = sorted({name for name in {*old, *new} if old.get(name) != new.get(name)})
    return [
        {
            "key": f"environment.{name}",
            "old": None if name not in old else "(set)",
            "new": None if name not in new else "(set)",
        }
        for name in names
    ]


def print_changes(found: dict[str, Changes]) -> None:
    """Print the changes of each app, by its name."""
    for app, changes in found.items():
        if not changes:
            print(f"{app}: nothing would change")
        for change in changes:
            print(f"{app}: {_sentence(change)}")


def _sentence(change: dict[str, Any]) -> str:
    key, old, new = change["key"], change["old"], change["new"]
    if key == "status":
        would = "started" if new == "online" else "listed, and not started"
        return f"does not run, and would be {would}"
    if key == "addresses":
        return f"gives up {old}: {change['reason']}"
    if old is None:
        return f"{key} added" + ("" if new == "(set)" else f": {new}")
    if new is None:
        return f"{key} removed"
    return f"{key} changed" + ("" if new == "(set)" else f": {old} -> {new}")
