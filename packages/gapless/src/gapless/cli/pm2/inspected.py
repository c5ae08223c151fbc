"""Values in the form in which Node shows them: what scripts look for in `pm2 prettylist`.

https://nodejs.org/api/util.html#utilinspectobject-options; each entry has a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}
_LONGEST_LINE = 72


def text(value: Any) -> str:
    """Return a value of JSON as Node shows it."""
    return _shown(value, "")


def _shown(value: Any, margin: str) -> str:
    if isinstance(value, dict):
        pairs = [f"{_key(k)}: {_shown(v, f'{margin}  ')}" for k, v in value.items()]
        return _enclosed("{", pairs, "}", margin) if pairs else "{}"
    if isinstance(value, list | tuple):
        items = [_shown(each, f"{margin}  ") for each in value]
        plain = not any(isinstance(each, dict | list | tuple) for each in value)
        line = f"[ {', '.join(items)} ]"
        if plain and len(line) <= _LONGEST_LINE:
            return line if items else "[]"
        return _enclosed("[", items, "]", margin)
    if isinstance(value, str):
        return _quoted(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _enclosed(begin: str, items: list[str], end: str, margin: str) -> str:
    lines = ",\n".join(f"{margin}  {each}" for each in items)
    return f"{begin}\n{lines}\n{margin}{end}"


def _key(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else _quoted(name)


def _quoted(value: str) -> str:
    quote = next((q for q in "'\"`" if q not in value), "'")
    return quote + "".join(_escaped(value, quote)) + quote


def _escaped(value: str, quote: str) -> Iterator[str]:
    for each in value:
        if each in _ESCAPES:
            yield _ESCAPES[each]
        elif each in ("\\", quote):
            yield f"\\{each}"
        elif ord(each) < 0x20 or 0x7F <= ord(each) <= 0x9F:
            yield f"\\x{ord(each):02X}"
        else:
            yield each
