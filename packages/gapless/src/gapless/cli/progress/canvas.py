"""The last lines of a terminal, written again and again.

The cursor stands below them, and is never hidden: whatever ends the command, there is
nothing to restore.  A text above them stays.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

UP, START, CLEAR_LINE, CLEAR_BELOW = "\x1b[{}A", "\r", "\x1b[K", "\x1b[J"
"""CUU, CR, EL and ED of ECMA-48."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line, with its colours as control sequences."""

    text: str
    cells: int
    """How wide it is."""


class Canvas:
    """Draws rows; not for several threads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: Sequence[Row] = ()

    def size(self) -> os.terminal_size:
        """Return the columns and lines of the terminal now."""
        try:
            found = os.get_terminal_size(self._stream.fileno())
        except OSError:
            found = os.terminal_size((0, 0))
        # A terminal of 0 columns is one that does not know (a serial line, `script`).
        return os.terminal_size((found.columns or 80, found.lines or 24))

    def draw(self, rows: Sequence[Row]) -> None:
        """Draw rows in the place of those before."""
        lines = "".join(f"{row.text}{CLEAR_LINE}\n" for row in rows)
        self._write(f"{self._to_top()}{lines}{CLEAR_BELOW}")
        self._drawn = rows

    def erase(self) -> None:
        """Remove the rows."""
        if self._drawn:
            self._write(f"{self._to_top()}{CLEAR_BELOW}")
            self._drawn = ()

    def leave(self) -> None:
        """Let the rows stand: what comes is written below them."""
        self._drawn = ()

    def _to_top(self) -> str:
        """Return what brings the cursor to the first row.

        A row that was drawn in a wider terminal may stand on several lines now.
        """
        columns = self.size().columns
        lines = sum(max(1, -(-row.cells // columns)) for row in self._drawn)
        return f"{START}{UP.format(lines)}" if lines else START

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()
