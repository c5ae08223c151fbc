"""Patterns of paths, as configurations have them.  Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_PIECES = re.compile(r"(\*\*/?|\*|\?)")


def expression(directory: str, entry: str) -> str:
    """Return a regular expression for an entry, and for all that is below it.

    The entry is relative to *directory*; `**` is any number of directories.
    """
    entry = entry.removeprefix("./").rstrip("/")
    entry = entry if entry.startswith("/") else f"{directory}/{entry}"
    body = "".join(
        _WILD.get(piece) or re.escape(piece) for piece in _PIECES.split(entry)
    )
    return f"{body}(?:/.*)?$"


def fixed_part(entry: str) -> tuple[str, str]:
    """Return the directories of an entry that have no wildcard, and what follows."""
    pieces = entry.split("/")
    count = next((n for n, each in enumerate(pieces) if _PIECES.search(each)), None)
    count = len(pieces) if count is None else count
    return "/".join(pieces[:count]), "/".join(pieces[count:])


def matches(path: str, directory: str, entries: Iterable[str]) -> bool:
    """Return whether a path is one of the entries, or below one.

    An entry without a slash is a name or a pattern for names, in any directory.
    """
    for entry in entries:
        if "/" not in entry.rstrip("/"):
            name = entry.rstrip("/")
            if any(fnmatch.fnmatchcase(piece, name) for piece in path.split("/")):
                return True
        elif re.match(expression(directory, entry), path):
            return True
    return False
