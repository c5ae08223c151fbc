"""What runs a script without a known extension: its own first line, or node."""

from __future__ import annotations

import os
import shlex

from gapless.base.outside import files

_FIRST_BYTES = 4096
_NODE = ("node", "nodejs")
RUNNERS = ("npm", "npx", "pnpm", "pnpx", "yarn", "yarnpkg", "corepack")
"""Node programs that start the app as a child: run as they are, wherever they are."""


def interpreter(path: str) -> tuple[str, ...] | None:
    """Return the program, and its options, that has to run a file.

    None: the file is executed itself, and has to be executable.  A text without `#!` is
    for node; one whose `#!` (execve(2)) names node is given to it, for Node's channel.
    Raises OSError.
    """
    begin = _beginning(path)
    if b"\0" in begin or os.path.basename(path) in RUNNERS:
        return None
    words = _words(begin)
    if not words:
        return ("node",)
    if os.path.basename(words[0]) in _NODE:
        return words
    return None if os.access(path, os.X_OK) else words


def _beginning(path: str) -> bytes:
    with open(files.open_regular(os.path.realpath(path)), "rb") as file:
        return file.read(_FIRST_BYTES)


def _words(begin: bytes) -> tuple[str, ...]:
    """Return the words after `#!`, those of env(1) left out; none if there is no `#!`."""
    if not begin.startswith(b"#!"):
        return ()
    line = begin[2:].split(b"\n", 1)[0].decode(errors="replace").strip()
    program, _, rest = line.partition(" ")
    if os.path.basename(program) != "env":
        # The kernel passes all that follows as one argument.
        return (program, rest.strip()) if rest.strip() else (program,) * bool(program)
    rest = rest.strip()
    if not rest.startswith("-S"):
        return (rest,) * bool(rest)
    try:
        return tuple(shlex.split(rest[2:]))
    except ValueError:
        return ()
