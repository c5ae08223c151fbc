"""Every key that a gapless.toml may have, with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gapless.config.toml import key_words
from gapless.config.toml.app_schema import App
from gapless.config.toml.fleet_schema import Coordinator, Release, Rollout
from gapless.config.toml.notify_schema import Notify


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOfFile:
    """A table at the top of the file."""

    name: str
    schema: type[Any]
    is_named: bool
    """Whether it is written as [app.NAME], once for each app."""
    applied: str
    """Which commands read it anew."""

    @property
    def heading(self) -> str:
        """What is written above it in the file."""
        return f"[{self.name}.NAME]" if self.is_named else f"[{self.name}]"


TABLES = (
    TableOfFile(
        name="app",
        schema=App,
        is_named=True,
        applied="`gapless start`, and `gapless reload APP`, which hands over to a new "
        "generation. `gapless restart APP` keeps what was read before, and so does a "
        "new start after a crash or a boot. `gapless scale` changes `instances` until "
        "the next reload.",
    ),
    TableOfFile(
        name="release",
        schema=Release,
        is_named=True,
        applied="each `gapless publish`, `rollback` and `push`. `gapless watch` reads it "
        "when it starts: restart it after a change, which no request notices.",
    ),
    TableOfFile(
        name="rollout",
        schema=Rollout,
        is_named=True,
        applied="each `gapless publish` and `rollback`; `gapless watch` and `gapless "
        "agent` read it when they start. A rollout keeps the policy that it began with.",
    ),
    TableOfFile(
        name="coordinator",
        schema=Coordinator,
        is_named=False,
        applied="what reads [rollout.NAME], at the same time.",
    ),
    TableOfFile(
        name="notify",
        schema=Notify,
        is_named=True,
        applied="`gapless notify` when it starts: reload it after a change.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a table."""

    name: str
    allowed: str
    """What it may be, in words."""
    unit: str
    default: Any
    """`NODEFAULT` of msgspec if the key has to be there."""
    description: str
    example: str
    """A value in TOML."""
    tables: tuple[type[Any], ...]
    """The schemas of the tables that it may be."""


def keys_of(schema: type[Any]) -> list[Key]:
    """Return the keys of a table, in their order."""
    said = key_words.descriptions(schema)
    return [
        Key(
            name=field.name,
            allowed=key_words.allowed(field.type),
            unit=key_words.unit(field.name),
            default=_default(field),
            description=said.get(field.name, ("", ""))[0],
            example=said.get(field.name, ("", ""))[1],
            tables=tuple(
                k for k in key_words.kinds(field.type) if key_words.is_table(k)
            ),
        )
        for field in msgspec.structs.fields(schema)
    ]


def walk(schema: type[Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key below a table, inner tables included."""
    for key in keys_of(schema):
        yield (*path, key.name)
        for table in key.tables:
            yield from walk(table, (*path, key.name))


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
