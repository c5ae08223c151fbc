"""Keys for what surrounds a program: environment files and the umask.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_UMASK = re.compile(r"0?[0-7]{1,3}")


def files(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return the paths of environment files: one, or a list.  Raises ValueError."""
    found = (value,) if isinstance(value, str) else tuple(value)
    for path in found:
        if not path.removeprefix("-") or "\0" in path:
            raise ValueError(f"{path!r} is no path of a file")
    return found


def umask(value: str | int) -> str:
    """Return a umask of octal digits.  Raises ValueError.

    A number is refused: 27 may be meant as 027, and 0o27 is 23 when it is read.
    """
    if value == "":
        return ""
    if not isinstance(value, str) or not _UMASK.fullmatch(value):
        raise ValueError(f'{value!r} is no umask: write octal digits, like "027"')
    return value
