"""A TOML file with the line of every key in it, for error messages."""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gapless.base import codec
from gapless.base.errors import MisuseError, NotFoundError
from gapless.base.outside.text import reason_of
from gapless.config.toml import key_words

_HEADER = re.compile(r"^\s*\[+\s*(?P<path>[^\]]+?)\s*\]+\s*(?:#.*)?$")
_KEY = re.compile(
    r"""^\s*(?P<path>(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|\s*\.\s*)+?)\s*="""
)
_PIECE = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_MSGSPEC_ERROR = re.compile(r"^(?P<text>.*?)(?: - at `(?P<at>[^`]*)`)?$", re.DOTALL)


Keys = tuple[str, ...]
"""The path of a key or a table, like ("app", "shop", "stop", "signal")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed file."""

    path: Path
    """Its path as messages show it; relative paths in the file begin beside it."""
    tables: dict[str, Any]
    lines: dict[Keys, int] = field(default_factory=dict)

    def line_of(self, keys: Keys) -> int:
        """Return the line of a key, or of the innermost table around it."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.lines:
                return self.lines[keys[:length]]
        return 1

    def message_for(self, keys: Keys, problem: str) -> str:
        """Return an error message that names the file, the line and the key."""
        name = ".".join(keys)
        return f"{self.path}:{self.line_of(keys)}: {name}: {problem}"

    def words(self, keys: Keys, command: str | list[str]) -> list[str]:
        """Return the words of a command; a string is split as a shell does.

        Raises MisuseError.
        """
        if not isinstance(command, str):
            return command
        try:
            return shlex.split(command)
        except ValueError as error:  # a quotation that does not end
            reason = f"{command!r} is no command: {str(error).lower()}"
            raise MisuseError(self.message_for(keys, reason)) from None


def read(path: Path) -> Document:
    """Read and parse a file.  Raises NotFoundError, MisuseError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no file {path}",
            hint="name another one (most verbs: -c FILE); `gapless init` writes one",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(f"could not read {path}: {reason_of(error)}") from error
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MisuseError(f"{path}: this is not TOML: {error}") from None
    try:
        codec.check_plain(tables, str(path))
    except codec.WrongTypeError as error:
        raise MisuseError(str(error)) from None
    return Document(path=path, tables=tables, lines=_lines(text))


def decode(document: Document, keys: Keys, schema: type[Any]) -> Any:
    """Return the table at *keys*, checked against a schema.  Raises MisuseError."""
    found: Any = document.tables
    for key in keys:
        found = found[key]
    try:
        return msgspec.convert(found, schema, strict=True)
    except msgspec.ValidationError as error:
        raise MisuseError(_explain(document, keys, found, schema, str(error))) from None


def _explain(
    document: Document, keys: Keys, found: Any, schema: type[Any], error: str
) -> str:
    """Return an error of msgspec in the words of this file, with a hint."""
    matched = _MSGSPEC_ERROR.match(error)
    assert matched is not None
    text, place = matched["text"], matched["at"] or "$"
    # What is inside a list has no line of its own.
    inner = tuple(_PIECE.findall(place.lstrip("$").partition("[")[0]))
    if unknown := re.search(r"unknown field `([^`]*)`", text):
        lines = [*_unknown_keys(document, keys, found, schema)]
        inside = document.message_for((*keys, *inner, unknown[1]), "unknown key")
        return "\n".join(lines or [inside])
    if missing := re.search(r"missing required field `([^`]*)`", text):
        problem = f"{missing[1]} is missing{_example(schema, (*inner, missing[1]))}"
        return document.message_for((*keys, *inner), problem)
    value = found
    for key in inner:
        value = value.get(key) if isinstance(value, dict) else value
    shown = text[0].lower() + text[1:].replace("`", "")
    if kinds := _kinds(_table_at(schema, inner[:-1]), inner[-1]) if inner else ():
        shown = f"write {key_words.allowed_of(kinds)}{_example(schema, inner)}"
    elif not inner and not isinstance(found, dict):
        shown = f"write it as [{'.'.join(keys)}]"
    # What a table holds may be secret.
    seen = "a table" if isinstance(value, dict) else repr(value)
    return document.message_for((*keys, *inner), f"{shown}; found {seen}")


def _unknown_keys(
    document: Document, keys: Keys, found: dict[str, Any], schema: Any
) -> Iterator[str]:
    """Yield a line for each key that is not known, also in tables inside; then the known.

    One at a time would be as many runs of the command.
    """
    known = [each.name for each in msgspec.structs.fields(schema)]
    unknown = [key for key in found if key not in known]
    for key in unknown:
        problem = f"unknown key.{_meant(schema, key, known)}"
        if key == unknown[-1]:
            problem += f" known here: {', '.join(sorted(known))}"
        yield document.message_for((*keys, key), problem)
    for key, value in found.items():
        inner = _table_at(schema, (key,)) if key in known else None
        if inner is not None and isinstance(value, dict):
            yield from _unknown_keys(document, (*keys, key), value, inner)


def _meant(schema: Any, key: str, known: list[str]) -> str:
    """Return the key that may be meant: by its spelling, or by what others call it."""
    if synonym := key_words.synonym(key, known):
        example = _example(schema, (synonym,)).replace(", for example", ", as in", 1)
        return f" did you mean {synonym}{example}?"
    close = difflib.get_close_matches(key, known, 1)
    return f" did you mean {close[0]}?" if close else ""


def _example(schema: Any, inner: Keys) -> str:
    """Return how the key at *inner* may be written, to be put after a message."""
    table = _table_at(schema, inner[:-1])
    said = key_words.descriptions(table) if table else {}
    example = said.get(inner[-1], ("", ""))[1]
    return f", for example {inner[-1]} = {example}" if example else ""


def _table_at(schema: Any, inner: Keys) -> Any:
    """Return the class of the table at *inner*; None if there is none."""
    for key in inner:
        kinds = [k for k in _kinds(schema, key) if isinstance(k, type)]
        structs = [k for k in kinds if issubclass(k, msgspec.Struct)]
        if not structs:
            return None
        schema = structs[0]
    return schema


def _kinds(schema: Any, key: str) -> tuple[Any, ...]:
    """Return the types that a key of a table may have; none if there is no such key."""
    for each in msgspec.structs.fields(schema) if schema else ():
        if each.name == key:
            return key_words.kinds(each.type)
    return ()


def _lines(text: str) -> dict[Keys, int]:
    """Return the line of each key, also of keys inside an inline table."""
    found: dict[Keys, int] = {}
    table: Keys = ()
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


def _split(path: str) -> Keys:
    return tuple(piece.strip("\"'") for piece in _PIECE.findall(path))
