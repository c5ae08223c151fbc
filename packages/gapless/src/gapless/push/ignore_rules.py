"""Which files of a directory are left out of an upload.  Pure.

Rule 1: a line of .gaplessignore means what it means in a .gitignore.  A name without a
slash fits at any depth, one with a slash from the top; `*`, `?`, `[a-z]`, `**`; a slash at
the end means folders; `!` includes again; `#` is a comment; the last line that fits counts.
Rule 2: everything below a folder that is left out is left out, whatever a later line says.
Rule 3: `DEFAULT` stands before the first line, so that `!node_modules` includes it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DEFAULT = (".git", ".hg", ".svn", "node_modules", ".venv", "__pycache__")
"""What the build on the release server makes, or what no app needs to run."""
FILE = ".gaplessignore"
_WILDCARD = re.compile(r"[*?\[]")
_PIECE = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[[^\]]+\]|\\.")


class IgnoreRules:
    """Decides for each path below a directory whether it is left out."""

    def __init__(self, lines: Iterable[str]) -> None:
        lines = list(lines)
        self._rules = [rule for line in lines if (rule := _rule(line))]
        self._naming = [
            rule
            for line in lines
            if not _WILDCARD.search(line) and (rule := _rule(line)) and rule[1]
        ]

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Return whether *path*, relative to the top, is left out by its own name.

        The caller does not ask about paths below a folder that is left out.
        """
        out = False
        for pattern, is_negated, folders_only in self._rules:
            if (is_folder or not folders_only) and pattern.fullmatch(path):
                out = not is_negated
        return out

    def names(self, path: str) -> bool:
        """Return whether a line `!NAME` takes *path*, or a folder above it, by its name.

        A line with wildcards names nothing.
        """
        parts = path.split("/")
        ways = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        return any(
            pattern.fullmatch(way)
            for pattern, _, folders_only in self._naming
            for way in (ways[:-1] if folders_only else ways)
        )


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    """Return the pattern, whether it is negated, and whether it means folders only."""
    line = line.rstrip("\r\n")
    line = line if line.endswith("\\ ") else line.rstrip(" ")
    if not line or line.startswith("#"):
        return None
    is_negated = line.startswith("!")
    line = line.removeprefix("!")
    folders_only = line.endswith("/")
    line = line.rstrip("/")
    if not line:
        return None
    prefix = "" if "/" in line else "(?:.*/)?"
    pattern = re.compile(prefix + _expression(line.removeprefix("/")))
    return pattern, is_negated, folders_only


def _expression(text: str) -> str:
    """Return the regular expression of a pattern."""
    expression, at = "", 0
    for found in _PIECE.finditer(text):
        expression += re.escape(text[at : found.start()]) + _wildcard(found[0])
        at = found.end()
    return expression + re.escape(text[at:])


def _wildcard(piece: str) -> str:
    known = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if piece in known:
        return known[piece]
    if piece.startswith("["):
        inner = piece[1:-1].replace("\\", "\\\\")
        inner = f"^{inner[1:]}" if inner.startswith("!") else inner
        return f"[{inner}]"
    return re.escape(piece[1:])
