"""The JSON Schema (2020-12) of a gapless.toml, for editors and pipelines."""

from __future__ import annotations

from typing import Any

import msgspec

from gapless.config.reference import keys
from gapless.config.toml import key_words

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def of_file() -> dict[str, Any]:
    """Return the schema of the whole file."""
    top = [table.schema for table in keys.TABLES]
    found, components = msgspec.json.schema_components(
        top, ref_template="#/$defs/{name}"
    )
    for schema in _schemas(top):
        _describe(components[schema.__name__], schema)
    properties: dict[str, Any] = {}
    for table, reference in zip(keys.TABLES, found, strict=True):
        properties[table.name] = (
            {
                "type": "object",
                "description": f"{table.heading}: one table for each app.",
                "additionalProperties": reference,
            }
            if table.is_named
            else reference
        )
    return {
        "$schema": DIALECT,
        "title": "gapless.toml",
        "description": "Apps, their releases and their fleets.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": components,
    }


def _schemas(top: list[type[Any]]) -> list[type[Any]]:
    """Return the schemas of all tables, inner ones included, each once."""
    found: list[type[Any]] = []
    waiting = list(top)
    while waiting:
        schema = waiting.pop()
        if schema not in found:
            found.append(schema)
            waiting += [table for key in keys.keys_of(schema) for table in key.tables]
    return found


def _describe(component: dict[str, Any], schema: type[Any]) -> None:
    """Add to each key its description, and an example."""
    import tomllib  # noqa: PLC0415 - for this alone

    for key in keys.keys_of(schema):
        property_ = component["properties"][key.name]
        unit = key_words.unit(key.name)
        property_["description"] = key.description + (f" In {unit}." if unit else "")
        if key.example:
            property_["examples"] = [tomllib.loads(f"a = {key.example}")["a"]]
