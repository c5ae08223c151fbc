"""A text stream whose lines are written above a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from gapless.cli.terminal.outlet import Outlet

Write = Callable[[Callable[[], None]], None]


class Above(Outlet):
    """Passes whole lines on to an outlet, while the picture makes room for them."""

    def __init__(self, stream: TextIO, above: Write) -> None:
        super().__init__(stream, is_data=False)
        self._above, self._rest = above, ""

    def write(self, text: str) -> int:
        """Write a text: its whole lines now, the rest with the end of its line."""
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._pass_on("\n".join([*lines, ""]))
        return len(text)

    def flush(self) -> None:
        """Do nothing: whole lines were written already."""

    def flush_rest(self) -> None:
        """Write what nothing completed."""
        if self._rest:
            rest, self._rest = self._rest, ""
            self._pass_on(rest)

    def _pass_on(self, text: str) -> None:
        def write() -> None:
            self._stream.write(text)
            self._stream.flush()

        self._above(write)
