"""PM2's `log_date_format`, in tokens of day.js, as a format of strftime(3).

Source: https://day.js.org/docs/en/display/format
"""

from __future__ import annotations

import re

_TOKENS = {
    "YYYY": "%Y",
    "YY": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "M": "%-m",
    "DD": "%d",
    "D": "%-d",
    "dddd": "%A",
    "ddd": "%a",
    "d": "%w",
    "HH": "%H",
    "H": "%-H",
    "hh": "%I",
    "h": "%-I",
    "mm": "%M",
    "m": "%-M",
    "ss": "%S",
    "s": "%-S",
    "SSS": "%L",
    "ZZ": "%z",
    "Z": "%:z",
    "A": "%p",
    "a": "%P",
}
_LONGEST_FIRST = "|".join(sorted(_TOKENS, key=len, reverse=True))
_PIECE = re.compile(rf"\[([^\]]*)\]|({_LONGEST_FIRST})|(.)", re.DOTALL)


def strftime_format(pattern: str) -> str:
    """Return a pattern of day.js as a format of strftime(3), with %L and %:z besides."""

    def translated(found: re.Match[str]) -> str:
        escaped, token, other = found.groups()
        if token is not None:
            return _TOKENS[token]
        return (escaped if escaped is not None else other).replace("%", "%%")

    return _PIECE.sub(translated, pattern)
