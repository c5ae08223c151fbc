"""The environment variables of an instance.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gapless.base.names import LOGIN_VARIABLES
from gapless.supervisor.memory import spec

CHANNEL_DESCRIPTOR = 100
"""Above what shells and package runners between us and the program close."""
_NODE_PROGRAMS = ("node", "nodejs", "bun")
_RUNNERS = ("npm", "npx", "pnpm", "pnpx", "yarn", "yarnpkg", "corepack")
"""Node programs that start the app, and would keep Node's channel for themselves."""
_PERMISSIONS = ("--permission", "--experimental-permission")
"""With these Node reads no file that is not allowed: also not what it should preload."""
_WITH_VALUE = (
    *("-r", "--require", "--import", "--loader", "--experimental-loader"),
    *("-C", "--conditions", "--env-file", "--allow-fs-read", "--allow-fs-write"),
)
"""Options whose value may be the next word (node(1))."""
_OF_A_SESSION = (
    *("XDG_RUNTIME_DIR", "XDG_SESSION_ID", "DBUS_SESSION_BUS_ADDRESS"),
    *("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "MAIL"),
)
"""What a login session of one user has, and the programs of another may not write to."""
UMASK = "022"
"""Of an app that names none; octal."""
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def variables(
    wanted: spec.AppSpec,
    file_variables: Mapping[str, str],
    *,
    key: str,
    generation: int,
    ordinal: int,
    identity: int,
    home: str,
) -> dict[str, str]:
    """Return the environment of an instance, without the sockets of the supervisor."""
    found = configured(wanted, file_variables)
    if wanted.announce:
        found |= {
            "name": wanted.alias or wanted.name,
            "namespace": wanted.namespace,
            "pm_id": str(identity),
            "exec_mode": f"{wanted.mode}_mode",
            "pm_cwd": wanted.declared_directory or wanted.directory,
            "PWD": wanted.declared_directory or wanted.directory,
            "PM2_HOME": home,
        }
        if wanted.command[0].rpartition("/")[2].startswith("python"):
            # What Python prints is seen at once.
            found.setdefault("PYTHONUNBUFFERED", "1")
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


def configured(
    wanted: spec.AppSpec, file_variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables of an app without what gapless adds.

    What is inherited is the least, then come the environment files; what the app's own
    configuration sets takes precedence over both.
    """
    own = {name: wanted.environment[name] for name in wanted.configured}
    found = dict(wanted.environment)
    if wanted.user:
        for name in _OF_A_SESSION:
            found.pop(name, None)
    return found | dict(file_variables) | own


def of_its_user(
    wanted: spec.AppSpec, file_variables: Mapping[str, str]
) -> tuple[str, ...]:
    """Return which of HOME, USER, LOGNAME and SHELL are those of the app's user."""
    if not wanted.user:
        return ()
    own = {*wanted.configured, *file_variables}
    return tuple(name for name in LOGIN_VARIABLES if name not in own)


def is_node(wanted: spec.AppSpec) -> bool:
    """Return whether an app is started by Node, itself or by way of a runner."""
    return wanted.command[0].rpartition("/")[2] in (*_NODE_PROGRAMS, *_RUNNERS)


def has_permissions(wanted: spec.AppSpec, options: str) -> bool:
    """Return whether Node confines a program: it would not start with the preload.

    *options* are its NODE_OPTIONS.
    """
    program, *words = wanted.command
    is_program = program.rpartition("/")[2] in _NODE_PROGRAMS
    own = (*(_own_options(words) if is_program else ()), *options.split())
    if "--allow-fs-read=*" in " ".join(own).replace("-read ", "-read="):
        return False
    return any(each in _PERMISSIONS for each in own)


def _own_options(words: Sequence[str]) -> Sequence[str]:
    """Return the words of a command that are Node's, and not those of the script."""
    for at, word in enumerate(words):
        if not word.startswith("-") and (at == 0 or words[at - 1] not in _WITH_VALUE):
            return words[:at]
    return words


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
