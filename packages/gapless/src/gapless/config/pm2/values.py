"""From what stands in a declaration to what it means, or a complaint that helps."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from gapless.config.pm2.fields import Field, Kind
from gapless.supervisor.renewal import schedule

_UPTIME_S = {"h": 3600, "m": 60, "s": 1}
_SIZE = {"G": 1 << 30, "M": 1 << 20, "K": 1 << 10}
_OFF = (False, 0, "0", "")


class WrongValueError(ValueError):
    """A value cannot be what its field has to be."""


def read(field: Field, value: Any) -> Any:
    """Return a value as what its field is for.  Raises WrongValueError."""
    found = _READERS[field.kind](value)
    if found is None:
        raise WrongValueError(_sentence(field, value))
    return found


def _sentence(field: Field, value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return f"{shown} is not {field.kind.value}"


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


def _number(value: Any) -> int | None:
    """Return a whole number; PM2 takes it as a text too."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}", value.strip()):
        return int(value)
    return None


def _count(value: Any) -> int | None:
    number = _number(value)
    return number if number is not None and number >= 0 else None


def _milliseconds(value: Any) -> float | None:
    number = _count(value)
    return None if number is None else number / 1000


def _uptime(value: Any) -> float | None:
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,9})([hms])", value)):
        return float(int(found[1]) * _UPTIME_S[found[2]])
    number = _count(value)
    return None if number is None or number < 100 else number / 1000


def _size(value: Any) -> int | None:
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,9})([GMK])", value)):
        return int(found[1]) * _SIZE[found[2]]
    return _count(value)


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


def _codes(value: Any) -> list[int] | None:
    codes = [_number(each) for each in (value if isinstance(value, list) else [value])]
    known = [code for code in codes if code is not None and 0 <= code <= 255]
    return known if len(known) == len(codes) else None


def _variables(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    found = {name: text_of(v) for name, v in value.items() if v is not None}
    bad = any(
        not name or "=" in name or "\0" in name + text for name, text in found.items()
    )
    return None if bad else found


def _instances(value: Any) -> int | None:
    """Return how many; 0 and less are relative to the number of CPUs."""
    return 0 if value == "max" else _number(value)


def _mode(value: Any) -> str | None:
    found = {"fork": "fork", "fork_mode": "fork"}
    found |= {"cluster": "cluster", "cluster_mode": "cluster"}
    return found.get(value) if isinstance(value, str) else None


def _list_of_texts(value: Any) -> list[str] | None:
    wanted = value if isinstance(value, list) else [value]
    return wanted if all(isinstance(v, str) and v for v in wanted) else None


def _places(value: Any) -> list[str] | bool | None:
    return value if isinstance(value, bool) else _list_of_texts(value)


def _file_or_flag(value: Any) -> str | bool | None:
    return value if isinstance(value, bool) else _text(value)


def _filter(value: Any) -> bool | str | list[str] | None:
    if isinstance(value, bool | str):
        return value
    return _list_of_texts(value)


def _cron(value: Any) -> str | None:
    if any(value is off or (value == off and type(value) is type(off)) for off in _OFF):
        return ""
    if not isinstance(value, str):
        return None
    try:
        schedule.parse(value)
    except ValueError as error:
        raise WrongValueError(f"{json.dumps(value)}: {error}") from None
    return value


def _user(value: Any) -> str | None:
    if isinstance(value, str) and value:
        return value
    number = _count(value)
    return None if number is None else str(number)


_READERS: dict[Kind, Any] = {
    Kind.TEXT: _text,
    Kind.FLAG: _flag,
    Kind.NUMBER: _count,
    Kind.MILLISECONDS: _milliseconds,
    Kind.UPTIME: _uptime,
    Kind.SIZE: _size,
    Kind.WORDS: _words,
    Kind.CODES: _codes,
    Kind.VARIABLES: _variables,
    Kind.INSTANCES: _instances,
    Kind.MODE: _mode,
    Kind.PLACES: _places,
    Kind.PATTERNS: _list_of_texts,
    Kind.FILE: _text,
    Kind.FILE_OR_FLAG: _file_or_flag,
    Kind.FILTER: _filter,
    Kind.CRON: _cron,
    Kind.USER: _user,
    Kind.ANYTHING: lambda value: value,
}
