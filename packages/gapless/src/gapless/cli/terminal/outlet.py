"""The one way by which text leaves a command: what cannot be seen is escaped on it.

Rule 1: a text for people is escaped wherever it goes, as a pipe ends in a terminal too
(`ssh host gapless list`); newlines and tabs stay.
Rule 2: a verb whose output is the content of something (`DATA = True`) is escaped on a
terminal only: a file gets it unchanged.
Rule 3: our own colours are put in by `mark`, with a word that nobody else knows.  They
become control sequences here, after everything else was escaped.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TextIO, cast

from gapless.base.outside.text import printable

KEPT = "\n\t"
_SECRET = os.urandom(16).hex()
"""Of this process: whoever writes a text that we print has not seen it."""
_MARK = re.compile(f"\x02{_SECRET}(.*?)\x03")
_SEQUENCES = {
    "green": "\033[32m",
    "red": "\033[31m",
    "yellow": "\033[33m",
    "dim": "\033[2m",
    "bold": "\033[1m",
    "plain": "\033[0m",
    "rewrite": "\r\033[K",
}


class Outlet:
    """A text stream that escapes what is written to it; all else is the stream's own."""

    def __init__(self, stream: TextIO, *, is_data: bool) -> None:
        self._stream = stream
        self.passes_data = is_data and not stream.isatty()

    def write(self, text: str) -> int:
        """Write a text; return its length, as text streams do."""
        if not self.passes_data or _SECRET in text:
            pieces = _MARK.split(text)
            # re.split() puts the names of the marks between the texts.
            for index, piece in enumerate(pieces):
                pieces[index] = _SEQUENCES[piece] if index % 2 else self._shown(piece)
            text = "".join(pieces)
        self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write some texts."""
        for line in lines:
            self.write(line)

    def _shown(self, text: str) -> str:
        return text if self.passes_data else printable(text, kept=KEPT)

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has by that name."""
        return getattr(self._stream, name)


def install(*, is_data: bool) -> None:
    """Let all text of this process go through outlets; tracebacks too, and argparse's."""
    _fill_standard()
    sys.stdout = _outlet(sys.stdout, is_data=is_data)
    sys.stderr = _outlet(sys.stderr, is_data=False)
    sys.excepthook = _print_exception


def is_installed() -> bool:
    """Return whether `mark` is understood on standard output."""
    return isinstance(sys.stdout, Outlet)


def mark(name: str) -> str:
    """Return what stands for a control sequence of our own, until it is written."""
    return f"\x02{_SECRET}{name}\x03"


def behind(stream: TextIO) -> TextIO:
    """Return the stream behind an outlet: for who escapes what it writes there itself."""
    while isinstance(stream, Outlet):
        stream = stream._stream  # noqa: SLF001 - of the same module
    return stream


def _fill_standard() -> None:
    """Open /dev/null in the place of a standard stream that is closed (`>&-`, some crons).

    Else the first socket or file would have its number, and get what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(opened, True)
        mode = "w" if number else "r"
        # For the life of the process.
        stream = os.fdopen(number, mode, encoding="utf-8", closefd=False)
        setattr(sys, name, stream)


def _outlet(stream: TextIO, *, is_data: bool) -> TextIO:
    stream = behind(stream)  # `main` was called in this process before
    if isinstance(stream, io.TextIOWrapper):
        # A variable or file name that is not UTF-8 leaves as it is, or is escaped.
        stream.reconfigure(errors="surrogateescape")
    return cast("TextIO", Outlet(stream, is_data=is_data))


def _print_exception(
    kind: type[BaseException], error: BaseException, at: TracebackType | None
) -> None:
    """Print a traceback without the colours that newer versions of Python put in."""
    import traceback  # noqa: PLC0415 - only for faults of our own

    sys.stderr.write("".join(traceback.format_exception(kind, error, at)))
