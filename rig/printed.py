"""Whether what a verb prints with --json is as its JSON Schema says."""

from __future__ import annotations

import functools
from typing import Any

from gapless.cli.verbs import ALIASES
from gapless.config.reference.printed import verbs
from rig.json_schema import Schema


@functools.cache
def _schema(verb: str, *, is_closed: bool) -> Schema:
    return Schema(verbs.of_verb(verb), is_closed=is_closed)


def mistakes(verb: str, value: Any, *, is_closed: bool = False) -> list[str]:
    """Return what is not as the schema of a verb says.

    With *is_closed* also what it does not mention.
    """
    return _schema(ALIASES.get(verb, verb), is_closed=is_closed).mistakes(value)
