"""Lines of work as rows of a terminal: as wide as it is, and in colour.

Only this module imports rich, and it is imported when a picture is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from gapless.base.outside.text import printable
from gapless.cli.progress.canvas import Row
from gapless.cli.progress.model import Line, Mood

_STYLES = {
    Mood.WAITING: "dim",
    Mood.ACTIVE: "yellow",
    Mood.DONE: "green",
    Mood.BAD: "red",
}
_NARROW, _NARROWEST = 60, 36
"""Below so many columns there is no place for connections; for changes neither."""
_GAP, _LEAST = 2, 8
_PHASE = 13
"""As wide as the longest phase, so that a new one moves nothing."""
_JUSTIFY: tuple[JustifyMethod, ...] = ("left", "left", "right", "left", "left")


def rows(
    lines: Sequence[Line], rest: str, *, now: float, columns: int, in_colour: bool
) -> list[Row]:
    """Return the rows of a picture, and one with the words for the *rest*."""
    # The last column stays free: a terminal may go to the next line after it.
    width = max(columns - 1, 1)
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=in_colour,
        color_system="standard" if in_colour else None,
        no_color=not in_colour,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
    with console.capture() as captured:
        console.print(_table(lines, now, width), no_wrap=True, crop=True)
        if rest:
            console.print(_text(rest, "dim"), no_wrap=True, overflow="ellipsis")
    return [
        Row(text=each, cells=cell_len(Text.from_ansi(each).plain))
        for each in captured.get().splitlines()
    ]


def _table(lines: Sequence[Line], now: float, width: int) -> Table:
    """Return a table whose last column, the words, has the room that the others leave."""
    cells = [[line.name, line.phase, _took(line, now)] for line in lines]
    if width >= _NARROWEST and any(line.new for line in lines):
        cells = [[*row, _change(line)] for row, line in zip(cells, lines, strict=True)]
    if width >= _NARROW and any(map(_counts, lines)):
        cells = [[*row, _counts(line)] for row, line in zip(cells, lines, strict=True)]
    shown = [[printable(cell) for cell in row] for row in cells]
    table = Table(box=None, show_header=False, padding=(0, _GAP, 0, 0), pad_edge=False)
    room = width
    most = max(_LEAST, (width - _GAP * len(cells[0])) // 3) if cells else 0
    for number, column in enumerate(zip(*shown, strict=True)):
        longest = max(12, width // 4) if number == 0 else most
        wide = min(max(map(cell_len, column)), longest, max(room, 1))
        wide = max(wide, min(_PHASE, most)) if number == 1 else wide
        room -= wide + _GAP
        table.add_column(
            no_wrap=True, overflow="ellipsis", width=wide, justify=_JUSTIFY[number]
        )
    has_words = room >= _LEAST
    if has_words:
        table.add_column(no_wrap=True, overflow="ellipsis", width=room)
    for line, row in zip(lines, shown, strict=True):
        style = _STYLES[line.mood]
        styles = ["bold", style, "dim", "", ""]
        texts = [Text(*each) for each in zip(row, styles, strict=False)]
        if has_words:
            texts.append(_text(line.words, style if line.mood is Mood.BAD else "dim"))
        table.add_row(*texts)
    return table


def _took(line: Line, now: float) -> str:
    took_s = (now if line.ended_s is None else line.ended_s) - line.began_s
    return f"{max(0.0, took_s):.1f} s"


def _text(text: str, style: str) -> Text:
    """Return a text from outside; rich reads no markup in it."""
    return Text(printable(text), style=style)


def _change(line: Line) -> str:
    return f"{line.old} -> {line.new}" if line.old and line.new else line.new


def _counts(line: Line) -> str:
    """Return where the connections are: those moved, and those that are left."""
    parts = []
    if line.moved is not None:
        parts.append(f"{line.moved} moved")
    if line.left is not None:
        parts.append(f"{line.left} left")
    return ", ".join(parts)
