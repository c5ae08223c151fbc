"""A fault that nobody foresaw: where it came from, and the last place that can tell of it.

What an error quotes from outside is escaped: it may be printed on a terminal.
"""

from __future__ import annotations

import contextlib
import os

from gapless.base.outside.text import printable


def traceback_of(error: BaseException) -> str:
    """Return where an error came from, as far as it can be found."""
    try:
        import traceback  # noqa: PLC0415 - only for faults of our own

        found = "".join(traceback.format_exception(error, limit=-20))[-4000:]
        return printable(found, kept="\n\t")
    except (ImportError, OSError, RecursionError):  # no descriptor or stack is left
        return ascii(error)


def write(text: str) -> None:
    """Write to standard error; nowhere if that takes nothing.

    It is a file, and a full disk ends no process of ours.
    """
    shown = printable(text, kept="\n\t").rstrip("\n")
    with contextlib.suppress(OSError):
        os.write(2, f"{shown}\n".encode())
