"""What of a directory is left out of an upload.  Pure.

Rule 1: a line of .gaplessignore means what it means in a .gitignore: a name without a
slash fits at any depth, one with a slash from the top; `*`, `?`, `[a-z]`, `**`; a slash at
the end means folders; `!` takes back; `#` is a remark; the last line that fits counts.
Rule 2: what is below a folder that is left out is left out, whatever a later line says.
Rule 3: `DEFAULT` stands before the first line, so that `!node_modules` takes it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DEFAULT = (".git", ".hg", ".svn", "node_modules", ".venv", "__pycache__")
"""What the release server makes itself, or what no app runs from."""
FILE = ".gaplessignore"
_PIECE = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[[^\]]+\]|\\.")


class Ignoring:
    """Says of each path below a directory whether it is left out."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules = [rule for line in lines if (rule := _rule(line))]

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether *path*, relative to the top, is left out; its folder is not."""
        out = False
        for pattern, takes_back, folders_only in self._rules:
            if (is_folder or not folders_only) and pattern.fullmatch(path):
                out = not takes_back
        return out


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    """Return pattern, whether it takes back, and whether it means folders only."""
    line = line.rstrip("\r\n")
    line = line if line.endswith("\\ ") else line.rstrip(" ")
    if not line or line.startswith("#"):
        return None
    takes_back = line.startswith("!")
    line = line.removeprefix("!")
    folders_only = line.endswith("/")
    line = line.rstrip("/")
    if not line:
        return None
    prefix = "" if "/" in line else "(?:.*/)?"
    return re.compile(prefix + _body(line.removeprefix("/"))), takes_back, folders_only


def _body(text: str) -> str:
    body, at = "", 0
    for found in _PIECE.finditer(text):
        body += re.escape(text[at : found.start()]) + _wild(found[0])
        at = found.end()
    return body + re.escape(text[at:])


def _wild(piece: str) -> str:
    known = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if piece in known:
        return known[piece]
    if piece.startswith("["):
        inner = piece[1:-1].replace("\\", "\\\\")
        inner = f"^{inner[1:]}" if inner.startswith("!") else inner
        return f"[{inner}]"
    return re.escape(piece[1:])
