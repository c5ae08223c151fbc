"""Which programs keeper and guardian are, and how one becomes or starts another.

Each may be of another version than the one that starts it: the words are these for good.
"""

from __future__ import annotations

import os
import socket

from gapless.base import interpreter

MODULE = "gapless.keeper.run"
NEXT, RENEWED, GUARDIAN, TRIAL = "next", "renewed", "guardian", "trial"
"""What the first word asks for: to follow a keeper that died; to go on in the place of this
process; to be a guardian; to read a table, and say whether that can be gone on with."""

TAKES_TABLE = "takes-table"
"""What a trial answers whose guardian takes along what it has (`guardian.table`)."""


def installed() -> tuple[str, ...]:
    """Return the command that runs the installed version, without those words."""
    return tuple(interpreter.python(MODULE, []))


def start(argv: list[str], line: socket.socket, error_output: int = 2) -> int:
    """Start a program that has *line*, and no other descriptor of ours; return its pid.

    `{line}` in *argv* is its number.  Raises OSError.
    """
    line.set_inheritable(True)
    try:
        words = [each.replace("{line}", str(line.fileno())) for each in argv]
        errors = [(os.POSIX_SPAWN_DUP2, error_output, 2)]
        return os.posix_spawn(
            words[0], words, os.environ, file_actions=errors, setsid=True
        )
    finally:
        line.set_inheritable(False)
