"""The last lines that a generation wrote, for the report of its failure."""

from __future__ import annotations

import json
import os

READ_BYTES = 64 << 10
MOST_LINES = 20


def last_lines(path: str, generation: int) -> list[str]:
    """Return the last lines of *generation* in a log, oldest first.

    Lines whose format does not say whose they are count as anybody's.  A log that cannot
    be read has no lines.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - READ_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [text for line in lines if (text := _text(line, generation)) is not None][
        -MOST_LINES:
    ]


def _text(line: str, generation: int) -> str | None:
    """Return what a program wrote on a line, or None if it is another generation's."""
    if line.startswith("{"):
        try:
            entry = json.loads(line)
            if "generation" in entry:
                own = entry["generation"] == generation
                return str(entry.get("message", "")) if own else None
        except (ValueError, TypeError):
            return line
        return line
    head, bar, text = line.partition(" | ")
    words = head.split()
    if bar and len(words) == 3 and words[2] in ("out", "err"):
        return text if words[1].split(".")[0] == str(generation) else None
    return line
