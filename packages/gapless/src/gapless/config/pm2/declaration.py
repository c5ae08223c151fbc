"""One declaration: its fields by their proper names, each of the right type.

What is wrong is told with file, app, field and value, all of it at once; what has no
effect is warned of, with the reason.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gapless.base.errors import MisuseError
from gapless.config.pm2 import fields, values
from gapless.config.pm2.fields import Effect

APP_LISTS = ("apps", "pm2")
PROFILE = "env_"


@dataclass(slots=True)
class Declaration:
    """What a file says of one app."""

    file: str
    """What complaints call it."""
    label: str
    """What the file calls the app, for complaints and to find it again."""
    fields: dict[str, Any] = field(default_factory=dict)
    """By their names in the table, in its units: seconds, bytes."""
    profiles: dict[str, dict[str, str]] = field(default_factory=dict)
    """The variables of each env_NAME."""
    warnings: list[str] = field(default_factory=list)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field, or *default* if the file does not have it."""
        return self.fields.get(name, default)

    def complaint(self, name: str, what: str) -> str:
        """Return a message that says where and what."""
        return f"{self.file}: {self.label}: {name}: {what}"


def read_all(
    found: Any, file: str, overrides: Mapping[str, Any]
) -> tuple[list[Declaration], list[str]]:
    """Return the declarations in what a file holds, and warnings about the file.

    *overrides* are fields that stand above those of the file.  Raises MisuseError.
    """
    warnings: list[str] = []
    tables = _tables(found, file, warnings)
    mistakes: list[str] = []
    declarations = [
        _read(table, number, file, overrides, mistakes)
        for number, table in enumerate(tables)
    ]
    labels = [each.label for each in declarations]
    mistakes += [
        f"{file}: {label}: name: {labels.count(label)} apps have this name; "
        f"give each its own, or run one with `instances`"
        for label in dict.fromkeys(name for name in labels if labels.count(name) > 1)
    ]
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return declarations, warnings


def labels(found: Any, file: str) -> list[str]:
    """Return what a file calls its apps.  Raises MisuseError."""
    return [
        _label(table, number) for number, table in enumerate(_tables(found, file, []))
    ]


def _label(table: dict[str, Any], number: int) -> str:
    return str(table.get("name") or _script(table) or f"app {number + 1}")


def _tables(found: Any, file: str, warnings: list[str]) -> list[dict[str, Any]]:
    """Return the objects that declare apps, in any of the shapes that PM2 knows."""
    apps = found
    if isinstance(found, dict):
        for key in APP_LISTS:
            if key in found:
                apps = found[key]
        warnings += [
            f"{file}: {key} has no effect: {why}"
            for key, why in fields.TOP_LEVEL.items()
            if key in found and apps is not found
        ]
    if isinstance(apps, dict):
        apps = [apps]
    if not isinstance(apps, list) or not apps:
        raise MisuseError(
            f"{file}: it declares no app",
            hint='write {"apps": [{"name": "example", "script": "index.js"}]}',
        )
    for number, each in enumerate(apps):
        if not isinstance(each, dict):
            raise MisuseError(f"{file}: app {number + 1} is not an object: {each!r}")
    return apps


def _read(
    table: dict[str, Any],
    number: int,
    file: str,
    overrides: Mapping[str, Any],
    mistakes: list[str],
) -> Declaration:
    declared = Declaration(file, _label(table, number))
    for name, value, canonical in _entries(table):
        try:
            _take(declared, name, value, canonical)
        except values.WrongValueError as error:
            mistakes.append(declared.complaint(name, str(error)))
    for name, value in overrides.items():
        try:
            declared.fields[name] = values.read(fields.BY_NAME[name], value)
        except values.WrongValueError as error:
            mistakes.append(f"--{name.replace('_', '-')}: {error}")
    if not declared.get("script"):
        mistakes.append(declared.complaint("script", "it is missing"))
    return declared


def _script(table: dict[str, Any]) -> str:
    found = [value for name, value, known in _entries(table) if known == "script"]
    return str(found[0]) if found and found[0] else ""


def _entries(table: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Yield each entry with its proper name; "" for what is not in the table."""
    for name, value in table.items():
        if value is None:
            continue  # as if it were not there
        known = fields.BY_NAME.get(name)
        yield name, value, known.name if known else ""


def _take(declared: Declaration, name: str, value: Any, canonical: str) -> None:
    if name.startswith(PROFILE) and name != "env_*":
        variables = values.read(fields.BY_NAME["env_*"], value)
        declared.profiles[name.removeprefix(PROFILE)] = variables
        return
    if not canonical:
        declared.warnings.append(declared.complaint(name, _unknown(name)))
        return
    known = fields.BY_NAME[canonical]
    if known.effect is Effect.NONE:
        if value not in known.quiet:
            why = f"it has no effect: {known.says}"
            declared.warnings.append(declared.complaint(name, why))
        return
    if canonical in declared.fields and name != canonical:
        before = declared.fields[canonical]
        if before != values.read(known, value):
            raise values.WrongValueError(
                f"{value!r} and {canonical} say different things; keep one of them"
            )
        return
    declared.fields[canonical] = values.read(known, value)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, fields.BY_NAME, 1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return f"there is no such field, it is ignored{guess}"
