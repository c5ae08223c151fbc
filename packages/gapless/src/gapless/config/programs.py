"""Which program a file needs, and whether it is here."""

from __future__ import annotations

import glob
import os
import shutil

from gapless.base.errors import NotFoundError
from gapless.supervisor.memory import spec

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
OVERLAP: dict[bool | str, spec.Overlap] = {
    "auto": spec.Overlap.AUTO,
    True: spec.Overlap.ALWAYS,
    False: spec.Overlap.NEVER,
}


def interpreter_of(path: str, search: str) -> str:
    """Return which interpreter a file's name asks for: one that is here, if any is."""
    candidates = INTERPRETERS.get(os.path.splitext(path)[1], (NONE,))
    here = [name for name in candidates if shutil.which(name, path=search)]
    return (here or list(candidates))[0]


def find_interpreter(name: str, directory: str, search: str) -> str | None:
    """Return how to run an interpreter: a name in PATH, a path, or `node@18` of nvm."""
    if "/" in name:
        path = os.path.join(directory, os.path.expanduser(name))
        is_there = os.path.isfile(path) and os.access(path, os.X_OK)
        return os.path.normpath(path) if is_there else None
    if name.startswith("node@"):
        return _of_nvm(name.removeprefix("node@"))
    for candidate in (name, "python3") if name == "python" else (name,):
        if shutil.which(candidate, path=search):
            return candidate
    return None


def _of_nvm(version: str) -> str | None:
    """Return the newest node of a version that nvm has installed."""
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
    """Return a program as it will be run: found now, so that its absence is said now.

    Raises NotFoundError.
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


def release_of(directory: str) -> str:
    """Return the release that a directory is, or is in: its name; else nothing."""
    at = directory
    while at != os.path.dirname(at):
        if os.path.isfile(os.path.join(at, "RELEASE")):
            return os.path.basename(at)
        at = os.path.dirname(at)
    return ""
