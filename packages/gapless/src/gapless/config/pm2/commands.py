"""Which program a declaration means, and how many of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping

from gapless.base.errors import MisuseError, NotFoundError
from gapless.config import programs
from gapless.config.pm2.declaration import Declaration
from gapless.config.toml import schema

_NODE = ("node", "nodejs", "bun")


def command(
    declared: Declaration,
    directory: str,
    environment: Mapping[str, str],
    redirect: Callable[[str], str],
) -> tuple[list[str], str]:
    """Return what to run, and the name of the interpreter, `none` if there is none."""
    script = str(declared.get("script"))
    arguments = declared.get("args", [])
    path = os.path.join(directory, script)
    if os.path.isabs(script):
        path = redirect(script)
        # Not by way of a link that another release may take meanwhile.
        parent, file = os.path.split(path)
        script = path = os.path.join(os.path.realpath(parent), file)
    search = environment.get("PATH", os.defpath)
    if not os.path.isfile(path):
        if " " in script.strip():
            return ["bash", "-c", " ".join([script, *arguments])], "none"
        if "/" in script or shutil.which(script, path=search) is None:
            raise NotFoundError(
                declared.complaint(
                    "script", f"there is no file {path}, and no such program in PATH"
                )
            )
        path = str(shutil.which(script, path=search))
    interpreter = declared.get("exec_interpreter") or programs.interpreter_of(
        path, search
    )
    if interpreter == "none":
        if not os.access(path, os.X_OK):
            raise MisuseError(
                declared.complaint(
                    "script",
                    f"{path} is not executable, and its name tells no interpreter; "
                    f"chmod +x it, or set `interpreter`",
                )
            )
        is_in_path = not os.path.isfile(os.path.join(directory, script))
        plain = "/" in script or is_in_path
        return [script if plain else f"./{script}", *arguments], "none"
    program = programs.find_interpreter(interpreter, directory, search)
    if program is None:
        raise NotFoundError(
            declared.complaint(
                "interpreter", f"there is no {interpreter!r} in the PATH of the app"
            )
        )
    options = declared.get("node_args", [])
    return [program, *options, script, *arguments], os.path.basename(program)


def instances(declared: Declaration) -> int:
    """Return how many instances a declaration asks for.  Raises MisuseError."""
    wanted = declared.get("instances", 1)
    cpus = len(os.sched_getaffinity(0))
    count = int(wanted) if wanted > 0 else max(1, cpus + wanted)
    if count > schema.MOST_INSTANCES:
        raise MisuseError(
            declared.complaint(
                "instances", f"{count} are more than {schema.MOST_INSTANCES}"
            )
        )
    return count


def mode(declared: Declaration, interpreter: str) -> str:
    """Return what PM2 would call the way it runs: fork or cluster."""
    if said := declared.get("exec_mode"):
        return str(said)
    wanted = declared.get("instances")
    many = wanted is not None and wanted >= -1
    return "cluster" if many and interpreter in _NODE else "fork"
