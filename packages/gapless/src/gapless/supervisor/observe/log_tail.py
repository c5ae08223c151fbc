"""The last lines that a generation wrote, for the report of its failure."""

from __future__ import annotations

import json
import os
from typing import Any

from gapless.base.outside import reached_path

READ_BYTES = 64 << 10
MOST_LINES = 20


def mark(marks: dict[str, int], log: dict[str, Any]) -> None:
    """Note how long the logs of an instance are, before it writes any of them."""
    for path in (log["error"], log["output"]):
        try:
            length = os.stat(path).st_size
        except OSError:
            length = 0
        marks.setdefault(path, length)


def last_lines(marks: dict[str, int], generation: int) -> list[str]:
    """Return the last lines that *generation* wrote behind its marks, oldest first.

    The first log that has any lines counts.  A line whose format does not name its
    generation counts as its own.  A log that cannot be read has no lines.
    """
    for path, length in marks.items():
        found = [_text(line, generation) for line in _lines(path, length)]
        own = [text for text in found if text is not None]
        if own:
            return own[-MOST_LINES:]
    return []


def _lines(path: str, length: int) -> list[str]:
    try:
        with reached_path.parent_of(path) as (directory, name):
            opened = reached_path.open_file(directory, name, os.O_RDONLY)
        with open(opened, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = length if length <= size else 0  # it was moved aside meanwhile
            file.seek(max(begin, size - READ_BYTES))
            content = file.read().decode(errors="replace")
            return content.removesuffix("\n").split("\n") if content else []
    except OSError:
        return []


def _text(line: str, generation: int) -> str | None:
    """Return what a program wrote on a line, or None if it is another generation's."""
    if line.startswith("{"):
        try:
            entry = json.loads(line)
            if "generation" in entry:
                own = entry["generation"] == generation
                return str(entry.get("message", "")) if own else None
        except (ValueError, TypeError, RecursionError):
            return line
        return line
    head, bar, text = line.partition(" | ")
    words = head.split()
    if bar and len(words) == 3 and words[2] in ("out", "err"):
        return text if words[1].split(".")[0] == str(generation) else None
    return line
