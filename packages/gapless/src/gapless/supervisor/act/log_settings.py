"""Where and how the output of an instance is written.  Pure."""

from __future__ import annotations

import re
from typing import Any

from gapless.supervisor.memory import spec


def log_settings(
    wanted: spec.AppSpec,
    default: str,
    *,
    generation: int,
    ordinal: int,
    identity: int,
) -> dict[str, Any]:
    """Return the `log` of a spawn message (spec/keeper.md).

    *default* is where the output goes unless the app says otherwise.
    """
    output = wanted.log.output or default
    paths = {
        "output": output,
        "error": wanted.log.error or output,
        "combined": wanted.log.combined,
    }
    if wanted.log.by_instance:
        paths = {name: log_path(path, identity) for name, path in paths.items()}
    return {
        "app": wanted.name,
        "generation": generation,
        "ordinal": ordinal,
        "id": identity,
        **paths,
        "format": wanted.log.format,
        "date_format": wanted.log.date_format,
        "own": list(wanted.log.own),
        "rotate_own": wanted.log.rotate_own,
        "rotate_bytes": wanted.log.rotate_bytes,
        "rotate_s": wanted.log.rotate_s,
        "keep": wanted.log.keep,
    }


def log_path(path: str, identity: int | str) -> str:
    """Return the file of one instance: its id before `.log`, where the path ends so.

    With `*` for the id it is a pattern for the files of all instances.
    """
    return re.sub(r"\.log$", f"-{identity}.log", path)
