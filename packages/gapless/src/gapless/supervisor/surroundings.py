"""What an instance finds around it: its variables, and its log files.  Pure."""

from __future__ import annotations

import re
from typing import Any

from gapless.supervisor import spec

CHANNEL_DESCRIPTOR = 100
"""Above what shells and package runners between us and the program close."""
_NODE_PROGRAMS = ("node", "nodejs", "bun")
_RUNNERS = ("npm", "npx", "pnpm", "pnpx", "yarn", "yarnpkg", "corepack")
"""Node programs that start the app, and would keep Node's channel for themselves."""
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def variables(
    wanted: spec.AppSpec, *, key: str, generation: int, ordinal: int, identity: int
) -> dict[str, str]:
    """Return the environment of one instance, but for the lines to the supervisor."""
    found = dict(wanted.environment)
    if wanted.announce:
        found |= {
            "name": wanted.name,
            "namespace": wanted.namespace,
            "pm_id": str(identity),
        }
    if wanted.increment_variable:
        first = found.get(wanted.increment_variable, "0")
        number = int(first) if re.fullmatch(r"\s*-?\d+\s*", first) else 0
        found[wanted.increment_variable] = str(number + ordinal)
    if wanted.instance_variable:
        found[wanted.instance_variable] = str(ordinal)
    return found | {
        "GAPLESS_APP": wanted.name,
        "GAPLESS_GENERATION": str(generation),
        "GAPLESS_ORDINAL": str(ordinal),
        "GAPLESS_INSTANCE": key,
        "NODE_APP_INSTANCE": str(ordinal),
    }


def is_node(wanted: spec.AppSpec) -> bool:
    """Tell whether an app is started by Node, itself or by way of a runner."""
    return wanted.command[0].rpartition("/")[2] in (*_NODE_PROGRAMS, *_RUNNERS)


def with_preload(options: str, path: str) -> str:
    """Return NODE_OPTIONS (node(1)) that load a file before the program, once."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    option = f"--require={path}" if _SAFE.fullmatch(path) else f'"--require={escaped}"'
    return options if option in options else f"{options} {option}".strip()


def channel_variables(wanted: spec.AppSpec) -> dict[str, str]:
    """Return how the program hears of Node's channel; nothing if it gets none."""
    program = wanted.command[0].rpartition("/")[2]
    talks = wanted.ready.when is spec.When.NOTIFY or wanted.stop.message
    found = {}
    is_node = program in _NODE_PROGRAMS
    if is_node or (talks and not (program in _RUNNERS and wanted.preload)):
        found = {
            "NODE_CHANNEL_FD": str(CHANNEL_DESCRIPTOR),
            "NODE_CHANNEL_SERIALIZATION_MODE": "json",
        }
    if talks and not is_node and wanted.preload:
        # A package runner on the way would keep the channel: the preload opens it anew.
        found["GAPLESS_CHANNEL_FD"] = str(CHANNEL_DESCRIPTOR)
    return found


def log(
    wanted: spec.AppSpec,
    default: str,
    *,
    generation: int,
    ordinal: int,
    identity: int,
) -> dict[str, Any]:
    """Return where and how the output of one instance is written (spec/keeper.md)."""
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
        "rotate_bytes": wanted.log.rotate_bytes,
        "rotate_s": wanted.log.rotate_s,
        "keep": wanted.log.keep,
    }


def log_path(path: str, identity: int | str) -> str:
    """Return the file of one instance: its id before `.log`, where that is the end.

    With `*` for the id it is a pattern for the files of all.
    """
    return re.sub(r"\.log$", f"-{identity}.log", path)
