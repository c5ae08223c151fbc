"""Values in a unit of systemd: what a name or a path has is never syntax.  Pure.

Rule: a value that needs it is quoted, `%` begins no specifier and `$` no variable; what no
line of a unit can hold is refused.  Source: systemd.syntax(7), systemd.unit(5),
systemd.service(5), "Command lines".
"""

from __future__ import annotations

import re

from gapless.base.errors import MisuseError

_PLAIN = re.compile(r"[A-Za-z0-9_./:@+,=-]+")
_IN_A_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.-]")


def checked(text: str, what: str) -> str:
    """Return a text that a line can hold.  Raises MisuseError, which calls it *what*."""
    if not text or not text.isprintable():
        raise MisuseError(
            f"{what} {text!r} cannot stand in a unit of systemd",
            hint="it is empty, or has a line end or another character that does not print",
        )
    return text


def word(text: str, what: str) -> str:
    """Return a text as one word of a value: of Environment=, ReadWritePaths= and so on."""
    checked(text, what)
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def line(text: str, what: str) -> str:
    """Return a text that is a value as a whole, like a description or a user."""
    escaped = checked(text, what).replace("%", "%%")
    # A backslash at the end would take the next line in.
    return f"{escaped} " if escaped.endswith("\\") else escaped


def argument(text: str, what: str) -> str:
    """Return a text as one argument of a command line, in which `$` is a variable."""
    return word(text, what).replace("$", "$$")


def program(text: str, what: str) -> str:
    """Return the path of a program.  Raises MisuseError."""
    if "$" in text or not text.startswith("/"):
        raise MisuseError(
            f"{what} {text!r} cannot be started by systemd",
            hint="its path has to be absolute and without $",
        )
    return word(text, what)


def unit_name(text: str) -> str:
    r"""Return a name as a part of the name of a unit: `/` is `\x2f` there."""
    return "".join(
        each
        if _IN_A_UNIT_NAME.fullmatch(each)
        else "".join(f"\\x{byte:02x}" for byte in each.encode(errors="surrogateescape"))
        for each in text
    )
