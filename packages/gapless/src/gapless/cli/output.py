"""Text, colours, tables and JSON on standard output; quantities as people read them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gapless.base import files
from gapless.base.outside.text import counted, printable, sized
from gapless.cli.terminal import columns, outlet

count, size = counted, sized

_NOT_SEEN = re.compile(r"[^ -~]+")
_WITH_STATUS = ("status", "phase")
_COLOURS = {
    "online": "green",
    "gave up": "red",
    "failed": "red",
    "stopped": "dim",
    **dict.fromkeys(
        ["starting", "stopping", "reloading", "recycling", "draining"], "yellow"
    ),
}
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells report it."""


_is_plain = False


def be_plain() -> None:
    """Print as into a file from now on: --plain."""
    global _is_plain  # noqa: PLW0603 - one output, one command
    _is_plain = True


def may_overwrite() -> bool:
    """Return whether standard output is a terminal on which lines may be overwritten."""
    is_dumb = os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")
    return not _is_plain and not is_dumb and sys.stdout.isatty()


def is_terminal() -> bool:
    """Return whether standard output may have colours (no-color.org)."""
    return may_overwrite() and not os.environ.get("NO_COLOR")


def columns_here() -> int:
    """Return how wide the terminal is; 80 if it does not know."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def paint(text: str, colour: str) -> str:
    """Return *text* in a colour; unchanged if there is no terminal."""
    if not (is_terminal() and outlet.is_installed()):
        return text
    return f"{outlet.mark(colour)}{text}{outlet.mark('plain')}"


def print_line(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def print_nothing(text: str) -> None:
    """Print nothing: for --json, in the place of `print_line`."""
    _ = text


def print_error(text: str) -> None:
    """Print an error or a warning on standard error: programs read standard output."""
    print(f"gapless: {text}", file=sys.stderr, flush=True)


def print_interrupted(state: str) -> int:
    """Print that SIGINT ended the command, and what goes on; return the exit code."""
    print(f"\ngapless: interrupted; {state}", file=sys.stderr)
    return INTERRUPTED


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, in which every character can be seen.

    Those that cannot are escaped as JSON has it, so that it is the same value to programs.
    """
    text = files.as_json(value).decode().removesuffix("\n")
    print(_NOT_SEEN.sub(_json_escape, text), flush=True)


def _json_escape(found: re.Match[str]) -> str:
    return "".join(
        each
        if each.isprintable()
        else json.dumps(each)[1:-1].replace("\x7f", "\\u007f")
        for each in found[0]
    )


@contextmanager
def unread_is_no_failure() -> Iterator[None]:
    """Print what cannot change the exit code: nobody may be there to read it."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        # Python's flush at exit must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def print_table(
    headings: list[str], rows: list[list[str]], leaving: Sequence[str] = ()
) -> None:
    """Print rows under headings, each column as wide as its widest cell.

    With *leaving* it is as wide as the terminal at most: these columns go, in their order,
    where there is no room.
    """
    # What is escaped is wider.
    rows = [[printable(cell) for cell in row] for row in rows]
    if leaving and may_overwrite():
        headings, rows = columns.fitted(headings, rows, columns_here(), leaving)
    widths = [
        max(map(columns.width, column)) for column in zip(headings, *rows, strict=True)
    ]
    for number, row in enumerate([headings, *rows]):
        cells = [columns.padded(*each) for each in zip(row, widths, strict=True)]
        if number == 0:
            print(paint("  ".join(cells).rstrip(), "dim"))
            continue
        painted = [
            _painted(name, cell) for name, cell in zip(headings, cells, strict=True)
        ]
        print("  ".join(painted).rstrip())


def _painted(heading: str, cell: str) -> str:
    """Return a cell in the colour of the status that it names."""
    colour = _COLOURS.get(cell.rstrip()) if heading in _WITH_STATUS else None
    if colour is None:
        return cell
    word = cell.rstrip()
    return paint(word, colour) + cell[len(word) :]


def duration(seconds: float | None) -> str:
    """Return a duration in its largest whole unit: 45s, 3m, 2h, 5d; - for None."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{seconds // 60:.0f}m"
    if seconds < 86400:
        return f"{seconds // 3600:.0f}h"
    return f"{seconds // 86400:.0f}d"
