"""How things look in a terminal; plain text where there is none."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}
GOOD = ("online",)
BAD = ("gave up",)


def on_terminal() -> bool:
    """Tell whether colours and live lines are wanted."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str) -> str:
    """Return *text* in a colour, if there is a terminal."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if on_terminal() else text


def complain(text: str) -> None:
    """Say what is wrong, where it disturbs no output."""
    print(f"gapless: {text}", file=sys.stderr, flush=True)


def as_json(value: Any) -> None:
    """Print a value for machines."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def table(headings: list[str], rows: list[list[str]]) -> None:
    """Print rows under headings, each column as wide as its widest cell."""
    widths = [
        max(len(row[column]) for row in [headings, *rows])
        for column in range(len(headings))
    ]
    for number, row in enumerate([headings, *rows]):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        line = "  ".join(cells).rstrip()
        print(paint(line, "dim") if number == 0 else _with_status(line, row))


def _with_status(line: str, row: list[str]) -> str:
    for cell in row:
        if cell in GOOD:
            return line.replace(cell, paint(cell, "green"), 1)
        if cell in BAD:
            return line.replace(cell, paint(cell, "red"), 1)
    return line


def duration(seconds: float | None) -> str:
    """Return a time span as people say it."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{seconds // 60:.0f}m"
    if seconds < 86400:
        return f"{seconds // 3600:.0f}h"
    return f"{seconds // 86400:.0f}d"


def count(number: int, what: str) -> str:
    """Return how many there are of something, as people say it."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def size(count_bytes: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("B", "K", "M", "G"):
        if count_bytes < 1024 or unit == "G":
            return (
                f"{count_bytes:.0f}{unit}"
                if unit == "B"
                else f"{count_bytes:.1f}{unit}"
            )
        count_bytes /= 1024
    return ""
