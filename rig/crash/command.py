"""The command `gapless`, but a supervisor that it starts has a plan to die by.

Run by its path: `python command.py PLAN WORD...`.  The one word `supervisor` starts a
supervisor and no more, as every command does when none runs.
"""

from __future__ import annotations

import os
import sys

import gapless.__main__
from gapless import client
from gapless.base import interpreter

EFFECTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "effects.py")


def main(plan: str, words: list[str]) -> int:
    """Run the command; return its exit code."""
    original = interpreter.python

    def python(
        module: str, arguments: list[str], *, libraries: bool = False
    ) -> list[str]:
        argv = original(module, arguments, libraries=libraries)
        if module != "gapless.supervisor.run":
            return argv
        package = os.path.dirname(os.path.dirname(gapless.__file__))
        return [sys.executable, "-I", "-S", EFFECTS, package, plan, *arguments]

    def successor(module: str) -> list[str]:
        _ = module
        package = os.path.dirname(os.path.dirname(gapless.__file__))
        return [sys.executable, "-I", "-S", EFFECTS, package, plan]

    interpreter.python, interpreter.successor = python, successor
    with open(f"{plan}/command.pid", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    if words == ["supervisor"]:
        client.Client().start()
        return 0
    return gapless.__main__.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
