"""All fields of a PM2 declaration, read from fields.toml."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a value must be, in the words of error messages."""

    TEXT = "text"
    FLAG = "true or false"
    NUMBER = "a whole number"
    MILLISECONDS = "a number of milliseconds, like 5000"
    UPTIME = 'milliseconds from 100 on, like 1000, or "10s", "5m", "1h"'
    SIZE = 'a number of bytes, or "300K", "200M", "1G"'
    WORDS = 'a text, or a list of words, like ["--port", "3000"]'
    CODES = "an exit code, or a list of them, like [0, 143]"
    VARIABLES = "an object of variables"
    INSTANCES = 'a number of instances, 0 or "max" for one per CPU, -1 for one less'
    MODE = '"fork" or "cluster"'
    PLACES = 'true, false, a path, or a list of paths, like ["src"]'
    PATTERNS = 'a path or a list of them, like ["node_modules", "*.log"]'
    FILE = "a path"
    FILE_OR_FLAG = "a path, or true for the default one"
    FILTER = "true, the name of a variable, or a list of parts of names"
    CRON = 'a time as in crontab(5), like "0 3 * * *", or 0 for none'
    USER = "a user or a group: a name or a number"
    ANYTHING = "anything"


class Effect(Enum):
    """How the effect of a field compares with PM2."""

    SAME = "same"
    BETTER = "better"  #: it differs, as `says` describes
    NONE = "none"  #: gapless does not need it, or always does it


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field."""

    name: str
    kind: Kind
    says: str
    """What it does in gapless, or why it does nothing."""
    default: str = ""
    aliases: tuple[str, ...] = ()
    effect: Effect = Effect.SAME
    star: bool = False
    """PM2 users rely on it most, so a test must cover it."""
    quiet: tuple[object, ...] = ()
    """Values of a field without effect that need no warning."""


def _read() -> tuple[tuple[Field, ...], dict[str, str]]:
    path = os.path.join(os.path.dirname(__file__), "fields.toml")
    with open(path, "rb") as file:
        tables = tomllib.load(file)
    top_level = tables.pop("top_level")
    found = [
        Field(
            name=name,
            kind=Kind[table["kind"].upper()],
            says=table["says"],
            default=table.get("default", ""),
            aliases=tuple(table.get("aliases", ())),
            effect=Effect(table.get("effect", "same")),
            star=table.get("star", False),
            quiet=tuple(table.get("quiet", ())),
        )
        for name, table in tables.items()
    ]
    return tuple(found), top_level


FIELDS, TOP_LEVEL = _read()
"""All fields; and for each key beside `apps`, why it has no effect."""


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def _spellings() -> dict[str, Field]:
    found = {}
    for each in FIELDS:
        for name in (each.name, *each.aliases):
            found[name] = found[_camel(name)] = each
    return found


BY_NAME = _spellings()
"""Each field by each of its names, in snake_case and in camelCase."""
