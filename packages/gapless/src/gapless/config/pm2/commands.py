"""The command of a declaration, its mode and the number of its instances."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping

from gapless.base.errors import MisuseError, NotFoundError
from gapless.config import first_line, programs, site
from gapless.config.pm2.declaration import Declaration
from gapless.config.toml.schema import MOST_INSTANCES

_NODE = ("node", "nodejs", "bun")


def command(
    declared: Declaration,
    directory: str,
    environment: Mapping[str, str],
    redirect: Callable[[str], str],
    pm2_variables: Mapping[str, str],
) -> tuple[list[str], str]:
    """Return the argument vector, and the name of the interpreter, "none", or "serve".

    *environment* is that of the app; its PATH is searched.  Raises MisuseError,
    NotFoundError.
    """
    script = str(declared.get("script"))
    arguments = declared.get("args", [])
    path = os.path.join(directory, script)
    if os.path.isabs(script):
        path = redirect(script)
        # Its links are resolved now: another release may take a link meanwhile.
        parent, file = os.path.split(path)
        script = path = os.path.join(os.path.realpath(parent), file)
    search = environment.get("PATH", os.defpath)
    if not os.path.isfile(path):
        if site.is_meant(script, arguments, search):
            return site.command(directory, environment, redirect), site.SCRIPT
        if " " in script.strip():
            return ["bash", "-c", " ".join([script, *arguments])], programs.NONE
        if "/" in script or shutil.which(script, path=search) is None:
            raise NotFoundError(
                declared.message_for(
                    "script", f"there is no file {path}, and no such program in PATH"
                )
            )
        path = str(shutil.which(script, path=search))
    is_in_path = not os.path.isfile(os.path.join(directory, script))
    interpreter = declared.get("exec_interpreter")
    options: list[str] = []
    if interpreter is None:
        interpreter = programs.interpreter_of(path, search)
        if interpreter == programs.NONE and not is_in_path:
            interpreter, *options = _by_first_line(declared, path)
    if interpreter == programs.NONE:
        if not os.access(path, os.X_OK):
            raise MisuseError(
                declared.message_for(
                    "script",
                    f"{path} is not executable and has no interpreter; "
                    f"chmod +x it, or set `interpreter`",
                )
            )
        as_it_is = "/" in script or is_in_path
        return [script if as_it_is else f"./{script}", *arguments], programs.NONE
    program = programs.find_interpreter(interpreter, directory, search)
    if program is None:
        raise NotFoundError(
            declared.message_for(
                "interpreter", f"there is no {interpreter!r} in the PATH of the app"
            )
        )
    options += declared.get("node_args", [])
    if interpreter in _NODE:
        options += pm2_variables.get("PM2_NODE_OPTIONS", "").split()
    options += _source_maps(declared, program, path)
    return [program, *options, script, *arguments], os.path.basename(program)


def _by_first_line(declared: Declaration, path: str) -> tuple[str, ...]:
    """Return what runs a script without a known extension.  Raises MisuseError."""
    try:
        return first_line.interpreter(path) or (programs.NONE,)
    except OSError as error:
        raise MisuseError(
            declared.message_for("script", f"{path} cannot be read: {error.strerror}")
        ) from error


def _source_maps(declared: Declaration, program: str, path: str) -> list[str]:
    """Return the option of Node by which stack traces name the source of a script."""
    if os.path.basename(program) not in _NODE[:2]:
        return []
    wanted = declared.get("source_map_support", os.path.isfile(f"{path}.map"))
    off = declared.get("disable_source_map_support", False)
    return ["--enable-source-maps"] if wanted and not off else []


def instances(declared: Declaration) -> int:
    """Return how many instances a declaration asks for.  Raises MisuseError."""
    wanted = declared.get("instances", 1)
    cpus = len(os.sched_getaffinity(0))
    count = int(wanted) if wanted > 0 else max(1, cpus + wanted)
    if count > MOST_INSTANCES:
        raise MisuseError(
            declared.message_for("instances", f"{count} are more than {MOST_INSTANCES}")
        )
    return count


def mode(declared: Declaration, interpreter: str) -> str:
    """Return the mode that PM2 would show: fork or cluster."""
    if declared_mode := declared.get("exec_mode"):
        return str(declared_mode)
    wanted = declared.get("instances")
    many = wanted is not None and wanted >= -1
    return "cluster" if many and interpreter in _NODE else "fork"
