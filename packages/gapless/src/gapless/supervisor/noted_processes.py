"""Whether instances outlived all of gapless, for a command that finds nothing running.

A quick look at the notes on disk; `survivors` is what takes such instances over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from gapless.base import files
from gapless.base.names import Home
from gapless.supervisor.kernel import processes


def any_lives(home: Home) -> bool:
    """Return whether a process lives that a note of this boot has as an instance."""
    boot = processes.boot_id()
    return any(
        _lives(instance)
        for note in _notes(home)
        if boot and note.get("boot") == boot
        for instance in _instances(note)
    )


def _notes(home: Home) -> Iterator[dict[str, Any]]:
    """Yield what the notes on disk say; none of one that cannot be read."""
    try:
        names = os.listdir(home.notes)
    except OSError:
        return
    for name in filter(lambda each: each.endswith(".json"), names):
        try:
            note = files.read_own_json(f"{home.notes}/{name}")
        except (OSError, ValueError):
            continue  # the next supervisor names what is wrong with it
        if isinstance(note, dict):
            yield note


def _instances(note: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        generations = note["app"]["generations"]
        return [each for one in generations for each in one["instances"]]
    except (LookupError, TypeError):
        return []


def _lives(instance: dict[str, Any]) -> bool:
    if not isinstance(instance, dict) or not instance.get("leader_alive", True):
        return False
    pid = instance.get("pid")
    found = processes.read(pid) if isinstance(pid, int) and pid > 0 else None
    return (
        found is not None
        and found.state != "Z"
        and found.start_ticks == instance.get("leader_ticks")
    )
