"""The page `docs/configuration.md`: every key, from the types that check it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gapless.config.reference import keys
from gapless.config.reference.keys import Key, TableOfFile

_INTRODUCTION = """\
# Configuration: every key of a gapless.toml

This page is written by `make reference` from the types that check the file.
`gapless init` writes a first file, `gapless check` says what is wrong with one, and
`gapless schema config` prints the same as a JSON Schema for editors. What the words mean is
in the [glossary](glossary.md); a file for PM2 has the keys of [that page](pm2.md).

A file may have these tables:

| table | is about | is read by |
|---|---|---|
"""
_PATHS = """\

A key that is not known, or has another type, is refused with its line; nothing changes.
A unit stands at the end of a name: `_s` is seconds, `_mb` is MiB (1,048,576 bytes). A table
inside a table can be written in one line, `stop = { drain_timeout_s = 60 }`, or as a table
of its own, `[app.shop.stop]`.

More about some of them: [variables, users and limits](surroundings.md),
[limits of memory and processor](resources.md), [addresses](addresses.md),
[state and `overlap`](state.md), [sessions and `affinity`](affinity.md),
[apps that share a port](shared-ports.md),
[order and `after`](order.md), [builds](builds.md), [pushes and signatures](push.md),
[rollouts](rollout.md).
"""


def text() -> str:
    """Return the whole page."""
    pieces = [_INTRODUCTION]
    pieces += [
        f"| `{table.heading}` | {_sentence(table.schema)} | {table.applied} |\n"
        for table in keys.TABLES
    ]
    pieces.append(_PATHS)
    for table in keys.TABLES:
        pieces += _sections(table)
    return "".join(pieces)


def _sections(table: TableOfFile) -> list[str]:
    found = [f"\n## {table.heading}\n\n{_sentence(table.schema)}.\n\n"]
    found.append(_rows(table.schema))
    for key in keys.keys_of(table.schema):
        for inner in key.tables:
            heading = f"{table.name}.NAME.{key.name}" if table.is_named else key.name
            found.append(f"\n### [{heading}]\n\n{_sentence(inner)}.\n\n")
            found.append(_rows(inner))
    return found


def _rows(schema: type[Any]) -> str:
    lines = ["| key | is | default | example | means |", "|---|---|---|---|---|"]
    lines += [_row(key) for key in keys.keys_of(schema)]
    return "\n".join(lines) + "\n"


def _row(key: Key) -> str:
    allowed = key.allowed + (f", in {key.unit}" if key.unit else "")
    cells = (
        f"`{key.name}`",
        allowed,
        _default(key.default),
        f"`{key.example}`" if key.example else "",
        key.description,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(value: Any) -> str:
    """Return a default as it would be written."""
    if value is msgspec.NODEFAULT:
        return "required"
    if value is None or value in ((), {}, ""):
        return "none"
    if isinstance(value, msgspec.Struct):
        return "as below"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{json.dumps(value)}`"


def _sentence(schema: type[Any]) -> str:
    return (schema.__doc__ or "").strip().rstrip(".")


if __name__ == "__main__":
    import sys

    sys.stdout.write(text())
