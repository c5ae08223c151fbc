"""What `gapless start TARGET` may name: a configuration, a script, or any program."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.names import is_app_name
from gapless.config import resolve
from gapless.supervisor import spec

INTERPRETERS = {
    ".py": ("python3", "python"),
    ".js": ("node",),
    ".mjs": ("node",),
    ".cjs": ("node",),
    ".sh": ("bash",),
    ".pl": ("perl",),
    ".rb": ("ruby",),
    ".php": ("php",),
}


def is_configuration(target: str) -> bool:
    """Tell whether a target is a file of ours."""
    return target.endswith(".toml")


def script(
    target: str,
    arguments: list[str],
    *,
    name: str,
    instances: int,
    environment: Mapping[str, str],
) -> spec.AppSpec:
    """Return the spec of a script or a program.  Raises NotFoundError, MisuseError."""
    stem, extension = os.path.splitext(os.path.basename(target))
    name = name or stem
    if not is_app_name(name):
        raise MisuseError(f"{name!r} cannot name an app", hint="choose one with --name")
    own = resolve.inherited(environment)
    if os.path.isfile(target):
        path = os.path.abspath(target)
        argv = [path, *arguments]
        if not os.access(path, os.X_OK) or extension in INTERPRETERS:
            argv = [_interpreter(path, extension, own), *argv]
    elif "/" in target or extension in INTERPRETERS or target.endswith(".json"):
        raise NotFoundError(f"there is no file {target}")
    else:
        argv = [target, *arguments]
    return resolve.app_spec(
        name, argv, directory=os.getcwd(), environment=own, instances=instances
    )


def _interpreter(path: str, extension: str, environment: dict[str, str]) -> str:

    for program in INTERPRETERS.get(extension, ()):
        if shutil.which(program, path=environment.get("PATH")):
            return program
    known = " ".join(INTERPRETERS)
    raise MisuseError(
        f"{path} is not executable and {extension or 'a file without extension'} "
        f"tells no interpreter that is here",
        hint=f"chmod +x, or an extension of: {known}; or a gapless.toml",
    )
