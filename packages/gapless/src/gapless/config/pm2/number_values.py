"""Fields that hold numbers: what PM2 accepts, in the units of a spec.

Each function returns None for a value that its field cannot have.
"""

from __future__ import annotations

import re
from typing import Any

_UNIT_S = {"h": 3600, "m": 60, "s": 1}
_UNIT_BYTES = {"G": 1 << 30, "M": 1 << 20, "K": 1 << 10}


def whole_number(value: Any) -> int | None:
    """Return a whole number, which may be written as a text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}", value.strip()):
        return int(value)
    return None


def count(value: Any) -> int | None:
    """Return a whole number from 0 on."""
    number = whole_number(value)
    return number if number is not None and number >= 0 else None


def milliseconds(value: Any) -> float | None:
    """Return a number of milliseconds, in seconds."""
    number = count(value)
    return None if number is None else number / 1000


def uptime(value: Any) -> float | None:
    """Return milliseconds from 100 on, or a time like "10s", in seconds."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,9})([hms])", value)):
        return float(int(found[1]) * _UNIT_S[found[2]])
    number = count(value)
    return None if number is None or number < 100 else number / 1000


def size(value: Any) -> int | None:
    """Return a size like 1000 or "200M", in bytes."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,9})([GMK])", value)):
        return int(found[1]) * _UNIT_BYTES[found[2]]
    return count(value)


def exit_codes(value: Any) -> list[int] | None:
    """Return one exit code or a list of them, as a list."""
    listed = value if isinstance(value, list) else [value]
    numbers = [whole_number(each) for each in listed]
    codes = [code for code in numbers if code is not None and 0 <= code <= 255]
    return codes if len(codes) == len(numbers) else None


def instances(value: Any) -> int | None:
    """Return a number of instances; 0 and less are relative to the number of CPUs."""
    return 0 if value == "max" else whole_number(value)


def user(value: Any) -> str | None:
    """Return a user or a group: a name, or a number as text."""
    if isinstance(value, str) and value:
        return value
    number = count(value)
    return None if number is None else str(number)
