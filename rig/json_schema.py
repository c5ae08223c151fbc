"""A check of a value against a JSON Schema: the words of 2020-12 that ours use."""

from __future__ import annotations

import re
from typing import Any

_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
_REMARKS = {"title", "description", "default", "examples", "$schema", "$defs", "$id"}
_RULES = {
    *("$ref", "type", "enum", "const", "anyOf", "properties", "required", "items"),
    *("additionalProperties", "minimum", "maximum", "exclusiveMinimum", "pattern"),
    *("minLength", "maxLength", "minItems", "maxItems", "prefixItems"),
}


class Schema:
    """A schema whose references are all inside it."""

    def __init__(self, schema: dict[str, Any], *, is_closed: bool = False) -> None:
        """Take a schema as it is printed; a closed one allows no key that it has not."""
        self._schema = schema
        self._others = not is_closed

    def mistakes(self, value: Any) -> list[str]:
        """Return where a value is not as the schema says.

        Raises KeyError if the schema has a word that is not known here.
        """
        return self._mistakes(self._schema, value, "$")

    def _mistakes(self, schema: Any, value: Any, at: str) -> list[str]:
        if isinstance(schema, bool):
            return [] if schema else [f"{at}: nothing may be here"]
        if unknown := set(schema) - _REMARKS - _RULES:
            raise KeyError(f"{at}: this check does not know {sorted(unknown)}")
        found: list[str] = []
        if "$ref" in schema:
            inner: Any = self._schema
            for name in schema["$ref"].removeprefix("#/").split("/"):
                inner = inner[name]
            found += self._mistakes(inner, value, at)
        if "anyOf" in schema and all(
            self._mistakes(each, value, at) for each in schema["anyOf"]
        ):
            found.append(f"{at}: {value!r} is none of what it may be")
        if "type" in schema and not _has_type(schema["type"], value):
            return [*found, f"{at}: {value!r} is no {schema['type']}"]
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{at}: {value!r} is none of {schema['enum']}")
        if "const" in schema and value != schema["const"]:
            found.append(f"{at}: {value!r} is not {schema['const']!r}")
        found += _bounds(schema, value, at)
        if isinstance(value, dict):
            found += self._object(schema, value, at)
        if isinstance(value, list) and "items" in schema:
            for number, each in enumerate(value):
                found += self._mistakes(schema["items"], each, f"{at}[{number}]")
        return found

    def _object(self, schema: Any, value: dict[str, Any], at: str) -> list[str]:
        found = [
            f"{at}: {key} is missing"
            for key in schema.get("required", ())
            if key not in value
        ]
        known = schema.get("properties", {})
        for key, each in value.items():
            others = self._others or "properties" not in schema
            inner = known.get(key, schema.get("additionalProperties", others))
            found += self._mistakes(inner, each, f"{at}.{key}")
        return found


def _has_type(wanted: str | list[str], value: Any) -> bool:
    words = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(value, bool):
        return "boolean" in words
    return any(isinstance(value, _TYPES[word]) for word in words)  # type: ignore[arg-type]  # a tuple of types is one


def _bounds(schema: Any, value: Any, at: str) -> list[str]:
    found = []
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        found += [
            word
            for word, is_wrong in {
                "minimum": value < schema.get("minimum", value),
                "maximum": value > schema.get("maximum", value),
                "exclusiveMinimum": value <= schema.get("exclusiveMinimum", value - 1),
            }.items()
            if is_wrong
        ]
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            found.append("minLength")
        if not re.search(schema.get("pattern", ""), value):
            found.append("pattern")
    return [f"{at}: {value!r} is against {word}" for word in found]
