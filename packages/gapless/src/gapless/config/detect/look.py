"""Read names and beginnings of files below a directory: bounded, no link followed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import islice

from gapless.base.errors import GaplessError, NotFoundError
from gapless.base.outside import files as outside
from gapless.config.detect.facts import HEAD_BYTES, PROGRAMS, Facts

MOST_FILES = 5000
MOST_LISTED = 50_000
"""So many names of one directory are read and sorted."""
MOST_HEADS = 300
DEEPEST = 3
_NOT_ENTERED = {"node_modules", "vendor", "__pycache__", "deps", "test", "tests"}
_HIDDEN_ENTERED = {".venv", ".next", ".output"}
_TEXTS = (
    *(".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".ru", ".php", ".pl", ".psgi"),
    *(".toml", ".json", ".mod", ".xml", ".gradle", ".kts", ".txt", ".conf", ".java"),
    *(".in", ".lock", ".go", ".rs", ".service", ".ini"),
)
_NAMED_TEXTS = (
    *("Procfile", "Gemfile", "go.mod", "Dockerfile", "deno.jsonc"),
    *("ecosystem.config.yml", "ecosystem.config.yaml", "pm2.yml", "process.yml"),
)


def facts(directory: str, port: int) -> Facts:
    """Return what is known of a directory.  Raises NotFoundError, GaplessError."""
    if not os.path.isdir(directory):
        raise NotFoundError(f"there is no directory {directory}")
    try:
        found = sorted(_files(directory), key=lambda each: (each.count("/"), each))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GaplessError(f"could not look into {directory}: {reason}") from error
    heads: dict[str, str] = {}
    binaries = set()
    for file in found:
        path = os.path.join(directory, file)
        if file.endswith(_TEXTS) or os.path.basename(file) in _NAMED_TEXTS:
            if len(heads) < MOST_HEADS:
                heads[file] = _head(path, HEAD_BYTES).decode(errors="replace")
        elif _is_binary(path):
            binaries.add(file)
    return Facts(
        name=os.path.basename(os.path.realpath(directory)) or "app",
        files=frozenset(found),
        heads=heads,
        binaries=frozenset(binaries),
        programs=frozenset(name for name in PROGRAMS if shutil.which(name)),
        port=port,
    )


def _files(top: str) -> Iterator[str]:
    """Yield the paths of files, breadth first, until there are too many."""
    waiting, count = [""], 0
    while waiting:
        inside = waiting.pop(0)
        try:
            listed = _listed(os.path.join(top, inside) if inside else top)
        except OSError:
            if not inside:
                raise
            continue  # another's, or gone: the rest is seen without it
        for entry in listed:
            count += 1
            if count > MOST_FILES:
                return
            path = f"{inside}/{entry.name}" if inside else entry.name
            if not path.isprintable():
                continue
            if not _is_directory(entry):
                yield path
            elif _is_entered(path):
                waiting.append(path)


def _listed(directory: str) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return sorted(islice(entries, MOST_LISTED), key=lambda each: each.name)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_entered(path: str) -> bool:
    name = os.path.basename(path)
    if path == "node_modules/.bin" or path in (".venv/bin", "venv/bin"):
        return True
    if path.startswith((".venv/", "venv/")):
        return False
    if path == "node_modules":
        return False
    is_hidden = name.startswith(".") and name not in _HIDDEN_ENTERED
    return not (is_hidden or name in _NOT_ENTERED) and path.count("/") < DEEPEST


def _is_binary(path: str) -> bool:
    """Return whether a file without an ending is one that the kernel executes."""
    may_be = "." not in os.path.basename(path) and os.access(path, os.X_OK)
    return may_be and _head(path, 4) == b"\x7fELF"


def _head(path: str, most_bytes: int) -> bytes:
    """Return how a regular file begins; nothing of a link or what may not be read."""
    try:
        with open(outside.open_regular(path), "rb") as file:
            return file.read(most_bytes)
    except OSError:
        return b""
