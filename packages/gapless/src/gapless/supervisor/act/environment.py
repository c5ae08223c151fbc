"""The environment variables of an instance.  Pure."""

from __future__ import annotations

import re

from gapless.supervisor.memory import spec

CHANNEL_DESCRIPTOR = 100
"""Above what shells and package runners between us and the program close."""
_NODE_PROGRAMS = ("node", "nodejs", "bun")
_RUNNERS = ("npm", "npx", "pnpm", "pnpx", "yarn", "yarnpkg", "corepack")
"""Node programs that start the app, and would keep Node's channel for themselves."""
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def variables(
    wanted: spec.AppSpec, *, key: str, generation: int, ordinal: int, identity: int
) -> dict[str, str]:
    """Return the environment of an instance, without the sockets of the supervisor."""
    found = dict(wanted.environment)
    if wanted.announce:
        found |= {
            "name": wanted.name,
            "namespace": wanted.namespace,
            "pm_id": str(identity),
        }
    if wanted.increment_variable:
        first = found.get(wanted.increment_variable, "0")
        number = int(first) if re.fullmatch(r"\s*-?\d{1,18}\s*", first) else 0
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
    """Return whether an app is started by Node, itself or by way of a runner."""
    return wanted.command[0].rpartition("/")[2] in (*_NODE_PROGRAMS, *_RUNNERS)


def with_preload(options: str, path: str) -> str:
    """Return NODE_OPTIONS (node(1)) that load a file before the program, once."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    option = f"--require={path}" if _SAFE.fullmatch(path) else f'"--require={escaped}"'
    return options if option in options else f"{options} {option}".strip()


def channel_variables(wanted: spec.AppSpec) -> dict[str, str]:
    """Return the variables that name Node's channel; nothing if the program gets none."""
    program = wanted.command[0].rpartition("/")[2]
    uses_it = wanted.ready.when is spec.When.NOTIFY or wanted.stop.message
    found = {}
    is_node = program in _NODE_PROGRAMS
    if is_node or (uses_it and not (program in _RUNNERS and wanted.preload)):
        found = {
            "NODE_CHANNEL_FD": str(CHANNEL_DESCRIPTOR),
            "NODE_CHANNEL_SERIALIZATION_MODE": "json",
        }
    if uses_it and not is_node and wanted.preload:
        # A package runner between would keep the channel: the preload opens it anew.
        found["GAPLESS_CHANNEL_FD"] = str(CHANNEL_DESCRIPTOR)
    return found
