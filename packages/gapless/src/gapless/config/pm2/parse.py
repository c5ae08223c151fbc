"""From the parsed content of a PM2 file to its declarations.

All mistakes are reported in one error, each with file, app, field and value.  A field that
has no effect gives a warning with the reason.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from gapless.base.errors import MisuseError
from gapless.config import site
from gapless.config.pm2 import fields, values
from gapless.config.pm2.declaration import Declaration
from gapless.config.pm2.fields import Effect

APP_LISTS = ("apps", "pm2")
PROFILE_PREFIX = "env_"


def declarations(
    content: Any, file: str, overrides: Mapping[str, Any]
) -> tuple[list[Declaration], list[str]]:
    """Return the declarations in a file, and warnings about the file itself.

    The fields in *overrides* take precedence over those of the file.  Raises MisuseError.
    """
    warnings: list[str] = []
    tables = _tables(content, file, warnings)
    mistakes: list[str] = []
    found = [
        _declaration(table, labelled, file, overrides, mistakes)
        for table, labelled in zip(tables, _numbered(tables), strict=True)
    ]
    deployed = _deployed(content, file, mistakes)
    for each in found:
        each.deployed = deployed
    warnings += [
        f"{file}: names are unique: an app before has this one, so it is {each.label}"
        for each in found
        if each.copy
    ]
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return found, warnings


def labels(content: Any, file: str) -> list[str]:
    """Return the labels of the apps in a file.  Raises MisuseError."""
    return [label for label, _ in _numbered(_tables(content, file, []))]


def _numbered(tables: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return the label of each app, and its number if one before it has that name."""
    taken = {_label(table, number) for number, table in enumerate(tables)}
    found: list[tuple[str, int]] = []
    seen: set[str] = set()
    for number, table in enumerate(tables):
        label, copy = _label(table, number), 0
        if label in seen:
            copy = next(n for n in itertools.count(2) if f"{label}-{n}" not in taken)
            label = f"{label}-{copy}"
            taken.add(label)
        seen.add(label)
        found.append((label, copy))
    return found


def _label(table: dict[str, Any], number: int) -> str:
    return str(table.get("name") or _script(table) or f"app {number + 1}")


def _tables(content: Any, file: str, warnings: list[str]) -> list[dict[str, Any]]:
    """Return the objects that declare apps, in any of the shapes that PM2 accepts."""
    statics = list(site.declarations(content, file, warnings))
    apps = [] if statics else content
    if isinstance(content, dict):
        for key in APP_LISTS:
            if key in content:
                apps = content[key]
        warnings += [
            f"{file}: {key} has no effect{why}"
            for key, why in fields.TOP_LEVEL.items()
            if key in content and apps is not content
        ]
    if isinstance(apps, dict):
        apps = [apps]
    if statics and isinstance(apps, list):
        apps = [*apps, *statics]
    if not isinstance(apps, list) or not apps:
        raise MisuseError(
            f"{file}: it declares no app",
            hint='write {"apps": [{"name": "example", "script": "index.js"}]}',
        )
    for number, each in enumerate(apps):
        if not isinstance(each, dict):
            raise MisuseError(f"{file}: app {number + 1} is not an object: {each!r}")
    return apps


def _deployed(
    content: Any, file: str, mistakes: list[str]
) -> dict[str, dict[str, str]]:
    """Return the variables of each `deploy.NAME.env`; the rest is for PM2's `deploy`."""
    deploy = content.get("deploy") if isinstance(content, dict) else None
    found = {}
    for profile, target in deploy.items() if isinstance(deploy, dict) else ():
        if not isinstance(target, dict) or target.get("env") is None:
            continue
        try:
            found[profile] = values.read(fields.BY_NAME["env"], target["env"])
        except values.WrongValueError as error:
            mistakes.append(f"{file}: deploy.{profile}.env: {error}")
    return found


def _declaration(
    table: dict[str, Any],
    labelled: tuple[str, int],
    file: str,
    overrides: Mapping[str, Any],
    mistakes: list[str],
) -> Declaration:
    declared = Declaration(file, *labelled)
    for name, value, canonical in _entries(table):
        try:
            _add(declared, name, value, canonical)
        except values.WrongValueError as error:
            mistakes.append(declared.message_for(name, str(error)))
    for name, value in overrides.items():
        if value is None:  # as if it had never been said, in the file either
            declared.fields.pop(name, None)
            continue
        try:
            declared.fields[name] = values.read(fields.BY_NAME[name], value)
        except values.WrongValueError as error:
            mistakes.append(f"--{name.replace('_', '-')}: {error}")
    if not declared.get("script"):
        mistakes.append(declared.message_for("script", "it is missing"))
    return declared


def _script(table: dict[str, Any]) -> str:
    found = [value for name, value, known in _entries(table) if known == "script"]
    return str(found[0]) if found and found[0] else ""


def _entries(table: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Yield the name, the value and the canonical name of each entry.

    An unknown name has the canonical name "".  An entry that is null counts as not set.
    """
    for name, value in table.items():
        if value is None:
            continue
        known = fields.BY_NAME.get(name)
        yield name, value, known.name if known else ""


def _add(declared: Declaration, name: str, value: Any, canonical: str) -> None:
    """Add an entry to a declaration, or a warning.  Raises WrongValueError."""
    # `env_file` with variables in it is the profile `file`, as in PM2.
    is_file = name == "env_file" and not isinstance(value, dict)
    if name.startswith(PROFILE_PREFIX) and name != "env_*" and not is_file:
        variables = values.read(fields.BY_NAME["env_*"], value)
        declared.profiles[name.removeprefix(PROFILE_PREFIX)] = variables
        return
    if not canonical:
        declared.warnings.append(declared.message_for(name, _unknown(name)))
        return
    known = fields.BY_NAME[canonical]
    if known.effect is Effect.NONE:
        if value not in known.quiet:
            problem = f"it has no effect: {known.says}"
            declared.warnings.append(declared.message_for(name, problem))
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
