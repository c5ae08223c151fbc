"""Find the program that runs a script, and check that it is executable."""

from __future__ import annotations

import glob
import os
import shutil

from gapless.base.errors import NotFoundError

INTERPRETERS = {
    ".js": ("node",),
    ".mjs": ("node",),
    ".cjs": ("node",),
    ".ts": ("bun",),
    ".tsx": ("bun",),
    ".py": ("python3", "python"),
    ".sh": ("bash",),
    ".pl": ("perl",),
    ".rb": ("ruby",),
    ".php": ("php",),
}
NONE = "none"
"""The interpreter of a file that is executed itself."""


def interpreter_of(path: str, search: str) -> str:
    """Return the interpreter for the extension of a file, if possible one in PATH.

    *search* is the PATH to look in.
    """
    candidates = INTERPRETERS.get(os.path.splitext(path)[1], (NONE,))
    installed = [name for name in candidates if shutil.which(name, path=search)]
    return (installed or list(candidates))[0]


def find_interpreter(name: str, directory: str, search: str) -> str | None:
    """Return the command of an interpreter; None if it is not installed.

    *name* is a name in PATH, a path relative to *directory*, or `node@18` for nvm.
    """
    if "/" in name:
        path = os.path.join(directory, os.path.expanduser(name))
        is_executable = os.path.isfile(path) and os.access(path, os.X_OK)
        return os.path.normpath(path) if is_executable else None
    if name.startswith("node@"):
        return _node_of_nvm(name.removeprefix("node@"))
    for candidate in (name, "python3") if name == "python" else (name,):
        if shutil.which(candidate, path=search):
            return candidate
    return None


def _node_of_nvm(version: str) -> str | None:
    """Return the newest node of a version that nvm has installed, if any."""
    home = os.environ.get("NVM_DIR") or os.path.expanduser("~/.nvm")
    pattern = f"{glob.escape(home)}/versions/node/v{glob.escape(version)}*/bin/node"
    found = [
        path
        for path in glob.glob(pattern)
        if f"{_version(path)}.".startswith(f"{version.lstrip('v')}.")
    ]
    return max(found, key=lambda path: _numbers(_version(path)), default=None)


def _version(path: str) -> str:
    return path.split("/")[-3].lstrip("v")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(piece) for piece in version.split(".") if piece.isdigit())


def executable(
    name: str, program: str, directory: str, environment: dict[str, str]
) -> str:
    """Return *program* unchanged if it exists and is executable.

    Raises NotFoundError: a missing program is reported before anything is started.
    """
    if "/" in program:
        path = os.path.join(directory, program)
        if not os.path.isfile(path):
            raise NotFoundError(f"{name}: there is no executable {path}")
        if not os.access(path, os.X_OK):
            raise NotFoundError(
                f"{name}: {path} is not executable", hint=f"chmod +x {path}"
            )
        return program
    if shutil.which(program, path=environment.get("PATH", os.defpath)) is None:
        raise NotFoundError(
            f"{name}: there is no executable {program!r} in the PATH of the app",
            hint="set PATH in the app's environment, or give the whole path",
        )
    return program
