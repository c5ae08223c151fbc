"""A page of docs that shows what is typed, and what comes: typed again by a test.

A block of the language `console` holds commands behind `$ `, their further lines behind
`> `, and their output.  In the output `...` stands for any lines, numbers that differ from
run to run may differ, and `[exit code N]` is the command's end if that is not 0.

A block of another language whose first line is a comment with an absolute path is the
file of that path.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(
    r"^```(?!console)\w+\n((?:<\?php )?(?:#|//|;) (/\S+)\n.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
END = "end of command"
ANY, CODE = "...", re.compile(r"\[exit code (\d+)\]")
CHANGING = re.compile(r"\d+\.\d+|\d{2,}|\b\d+(?=s\b)|^ *\d+(?= )|(?<=instance )\d")
"""Measured times and sizes, pids, dates, counts of uniq(1), and who failed first."""


@dataclass(slots=True)
class Typed:
    """One command of a page, and what the page shows of it."""

    lines: list[str]
    shown: list[str] = field(default_factory=list)
    code: int = 0


def commands(page: str) -> Iterator[Typed]:
    """Return the commands of a page.  Raises ValueError for output without a command."""
    for block in BLOCK.findall(page):
        typed: Typed | None = None
        for line in block.splitlines():
            if line.startswith("$ "):
                if typed is not None:
                    yield typed
                typed = Typed([line[2:]])
            elif typed is None:
                raise ValueError(f"output without a command: {line}")
            elif line == ">" or line.startswith("> "):
                typed.lines.append(line[2:])
            elif found := CODE.fullmatch(line):
                typed.code = int(found[1])
            else:
                typed.shown.append(line)
        if typed is not None:
            yield typed


def files(page: str) -> Iterator[tuple[str, str]]:
    """Return the path and the content of each file that a page shows."""
    for found in FILE.finditer(page):
        yield found[2], found[1]


class Shell:
    """One bash, in which the commands are typed one after the other."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
        self.type("set -m")  # jobs, as where somebody types

    def type(self, *lines: str) -> tuple[list[str], int]:
        """Type a command; return the lines that came, and its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = [*lines, f"printf '\\n{END} %d\\n' $?"]
        self._process.stdin.write("\n".join(told) + "\n")
        found: list[str] = []
        for line in self._process.stdout:
            if line.startswith(END):
                break
            found.append(line.rstrip("\n"))
        else:
            raise AssertionError("the shell has ended: " + "\n".join(found))
        if found and not found[-1]:
            found.pop()  # the line before the mark
        return found, int(line.split()[-1])

    def close(self) -> None:
        """End it, and its jobs."""
        self.type("kill $(jobs -p) 2>&1; wait")
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


def differs(shown: list[str], found: list[str]) -> str:
    """Return what of the output is not as a page shows it; empty if nothing."""
    pattern = "".join(
        r"(?:.*\n)*" if line == ANY else re.escape(_steady(line)) + r"\n"
        for line in shown
    )
    text = "".join(_steady(line) + "\n" for line in found)
    if re.fullmatch(pattern, text):
        return ""
    return "shown:\n" + "\n".join(shown) + "\nfound:\n" + "\n".join(found)


def _steady(line: str) -> str:
    return " ".join(CHANGING.sub("0", line).split())
