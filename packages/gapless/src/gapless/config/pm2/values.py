"""From the value of a field to a checked value, or an error that says what it must be."""

from __future__ import annotations

import json
import shlex
from typing import Any

from gapless.config.pm2 import number_values
from gapless.config.pm2.fields import Field, Kind
from gapless.supervisor.renewal import schedule

_NO_CRON = (False, 0, "0", "")
_MODES = {
    "fork": "fork",
    "fork_mode": "fork",
    "cluster": "cluster",
    "cluster_mode": "cluster",
}


class WrongValueError(ValueError):
    """A value that its field cannot have."""


def read(field: Field, value: Any) -> Any:
    """Return a value in the type and unit of a spec.  Raises WrongValueError."""
    found = _READERS[field.kind](value)
    if found is None:
        raise WrongValueError(_problem(field, value))
    return found


def _problem(field: Field, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return f"{text} is not {field.kind.value}"


def text_of(value: Any) -> str:
    """Return a variable's value as JavaScript would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _words(value: Any) -> list[str] | None:
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError:
            return None
    if isinstance(value, list) and all(
        isinstance(v, str | int | float | bool) for v in value
    ):
        return [text_of(v) for v in value]
    return None


def _variables(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    found = {name: text_of(v) for name, v in value.items() if v is not None}
    bad = any(
        not name or "=" in name or "\0" in name + text for name, text in found.items()
    )
    return None if bad else found


def _mode(value: Any) -> str | None:
    return _MODES.get(value) if isinstance(value, str) else None


def _list_of_texts(value: Any) -> list[str] | None:
    listed = value if isinstance(value, list) else [value]
    return listed if all(isinstance(v, str) and v for v in listed) else None


def _places(value: Any) -> list[str] | bool | None:
    return value if isinstance(value, bool) else _list_of_texts(value)


def _file_or_flag(value: Any) -> str | bool | None:
    return value if isinstance(value, bool) else _text(value)


def _filter(value: Any) -> bool | str | list[str] | None:
    if isinstance(value, bool | str):
        return value
    return _list_of_texts(value)


def _cron(value: Any) -> str | None:
    if any(
        value is off or (value == off and type(value) is type(off)) for off in _NO_CRON
    ):
        return ""
    if not isinstance(value, str):
        return None
    try:
        schedule.parse(value)
    except ValueError as error:
        raise WrongValueError(f"{json.dumps(value)}: {error}") from None
    return value


_READERS: dict[Kind, Any] = {
    Kind.TEXT: _text,
    Kind.FLAG: _flag,
    Kind.NUMBER: number_values.count,
    Kind.MILLISECONDS: number_values.milliseconds,
    Kind.UPTIME: number_values.uptime,
    Kind.SIZE: number_values.size,
    Kind.WORDS: _words,
    Kind.CODES: number_values.exit_codes,
    Kind.VARIABLES: _variables,
    Kind.INSTANCES: number_values.instances,
    Kind.MODE: _mode,
    Kind.PLACES: _places,
    Kind.PATTERNS: _list_of_texts,
    Kind.FILE: _text,
    Kind.FILE_OR_FLAG: _file_or_flag,
    Kind.FILTER: _filter,
    Kind.CRON: _cron,
    Kind.USER: number_values.user,
    Kind.ANYTHING: lambda value: value,
}
