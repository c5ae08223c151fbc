"""A TOML file, with the line of every key in it."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gapless.base.errors import MisuseError, NotFoundError

_HEADER = re.compile(r"^\s*\[+\s*(?P<path>[^\]]+?)\s*\]+\s*(?:#.*)?$")
_KEY = re.compile(
    r"""^\s*(?P<path>(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|\s*\.\s*)+?)\s*="""
)
_PIECE = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_WHERE = re.compile(r"^(?P<text>.*?)(?: - at `(?P<at>[^`]*)`)?$", re.DOTALL)


@dataclass(slots=True)
class Document:
    """What a file holds, and where."""

    path: Path
    tables: dict[str, Any]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def line_of(self, keys: tuple[str, ...]) -> int:
        """Return the line of a key, or of the nearest table above it."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.lines:
                return self.lines[keys[:length]]
        return 1

    def complaint(self, keys: tuple[str, ...], what: str) -> str:
        """Return a message that says where, which key, and what is wrong with it."""
        name = ".".join(keys)
        return f"{self.path}:{self.line_of(keys)}: {name}: {what}"


def read(path: Path) -> Document:
    """Read a file.  Raises NotFoundError, MisuseError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no file {path}", hint="name a gapless.toml, or a program"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(f"could not read {path}: {error}") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MisuseError(f"{path}: this is not TOML: {error}") from error
    return Document(path=path, tables=tables, lines=_lines(text))


def decode(document: Document, keys: tuple[str, ...], wanted: type[Any]) -> Any:
    """Return the table at *keys* as a struct.  Raises MisuseError."""
    found: Any = document.tables
    for key in keys:
        found = found[key]
    try:
        return msgspec.convert(found, wanted, strict=True)
    except msgspec.ValidationError as error:
        raise MisuseError(_explain(document, keys, found, wanted, str(error))) from None


def _explain(
    document: Document, keys: tuple[str, ...], found: Any, wanted: type[Any], said: str
) -> str:
    matched = _WHERE.match(said)
    assert matched is not None
    text, at = matched["text"], matched["at"] or "$"
    inner = tuple(_PIECE.findall(at.lstrip("$")))
    unknown = re.search(r"unknown field `([^`]*)`", text)
    if unknown:
        full = (*keys, *inner, unknown[1])
        known = _known(wanted, inner)
        close = difflib.get_close_matches(unknown[1], known, 1)
        guess = f"did you mean {close[0]}? " if close else ""
        return document.complaint(
            full, f"unknown key. {guess}known here: {', '.join(sorted(known))}"
        )
    missing = re.search(r"missing required field `([^`]*)`", text)
    if missing:
        return document.complaint((*keys, *inner), f"{missing[1]} is missing")
    value = found
    for key in inner:
        value = value.get(key) if isinstance(value, dict) else value
    shown = text[0].lower() + text[1:].replace("`", "")
    return document.complaint((*keys, *inner), f"{shown}; found {value!r}")


def _known(wanted: Any, inner: tuple[str, ...]) -> list[str]:
    """Return which keys a table may have."""
    for key in inner:
        fields = {f.name: f.type for f in msgspec.structs.fields(wanted)}
        kinds = getattr(fields.get(key), "__args__", (fields.get(key),))
        structs = [
            k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct)
        ]
        if not structs:
            return []
        wanted = structs[0]
    return [f.name for f in msgspec.structs.fields(wanted)]


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each key; inline tables count for the keys inside them too."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _split(header["path"])
            found.setdefault(table, number)
            continue
        if key := _KEY.match(line):
            own = (*table, *_split(key["path"]))
            found.setdefault(own, number)
            for inner in re.findall(r"[{,]\s*([A-Za-z0-9_-]+)\s*=", line[key.end() :]):
                found.setdefault((*own, inner), number)
    return found


def _split(path: str) -> tuple[str, ...]:
    return tuple(piece.strip("\"'") for piece in _PIECE.findall(path))
