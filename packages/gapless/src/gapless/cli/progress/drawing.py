"""Lines of work as rows of a terminal: as wide as it is, and in colour.

Only this module imports rich, and it is imported when a picture is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
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
_LONGEST_NAME, _LONGEST_CHANGE = 32, 40


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
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    has_change = width >= _NARROWEST and any(line.new for line in lines)
    has_counts = width >= _NARROW and any(
        line.moved is not None or line.left is not None for line in lines
    )
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=_LONGEST_NAME)
    table.add_column(no_wrap=True, overflow="ellipsis", min_width=min(13, width // 3))
    table.add_column(no_wrap=True, justify="right", min_width=6)
    if has_change:
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=_LONGEST_CHANGE)
    if has_counts:
        table.add_column(no_wrap=True, overflow="ellipsis")
    if width >= _NARROWEST:
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for line in lines:
        style = _STYLES[line.mood]
        cells = [_text(line.name, "bold"), _text(line.phase, style)]
        took_s = (now if line.ended_s is None else line.ended_s) - line.began_s
        cells.append(_text(f"{max(0.0, took_s):.1f} s", "dim"))
        if has_change:
            cells.append(_text(_change(line), ""))
        if has_counts:
            cells.append(_text(_counts(line), ""))
        if width >= _NARROWEST:
            cells.append(_text(line.words, "red" if line.mood is Mood.BAD else "dim"))
        table.add_row(*cells)
    return table


def _text(text: str, style: str) -> Text:
    """Return a text from outside; rich reads no markup in it."""
    return Text(printable(text), style=style)


def _change(line: Line) -> str:
    return f"{line.old} -> {line.new}" if line.old and line.new else line.new


def _counts(line: Line) -> str:
    """Return where the connections are: those moved, and those that are left."""
    parts = []
    if line.moved is not None:
        parts.append(f"{line.moved} on the new")
    if line.left is not None:
        parts.append(f"{line.left} left")
    return ", ".join(parts)
