"""The columns of a table: how wide texts are, and what leaves for want of room.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

GAP = 2
"""Between two columns."""
LEAST = 8
"""A cell is not cut to less."""
_CUT = ">"
"""Stands at the end of a cell that was cut."""


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes (Unicode's annex 11)."""
    if text.isascii():
        return len(text)
    return sum(_width(each) for each in text)


def padded(text: str, columns: int) -> str:
    """Return a text with as many spaces as its column has left."""
    return text + " " * (columns - width(text))


def cut(text: str, columns: int) -> str:
    """Return a text that takes no more than some columns; a mark tells that it was cut."""
    if width(text) <= columns:
        return text
    kept, room = [], columns - len(_CUT)
    for each in text:
        room -= _width(each)
        if room < 0:
            break
        kept.append(each)
    return "".join(kept) + _CUT


def fitted(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: int,
    leaving: Sequence[str],
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of a table that is no wider than a terminal.

    Columns whose cells are all "-" go first, then those that *leaving* names, one after
    the other; then the widest cells are cut.
    """
    table = [list(headings), *map(list, rows)]
    order = [each for each in leaving if each in headings]
    order.sort(key=lambda each: not _is_empty(table, each))
    for name in order:
        if _total(table) <= columns:
            break
        index = table[0].index(name)
        for row in table:
            del row[index]
    while (over := _total(table) - columns) > 0:
        widths = _widths(table)
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= LEAST:
            break
        second = max([LEAST, *(w for i, w in enumerate(widths) if i != widest)])
        least = max(LEAST, min(second, widths[widest] - 1))
        room = max(least, widths[widest] - over)
        for row in table:
            row[widest] = cut(row[widest], room)
    return table[0], table[1:]


def _is_empty(table: Sequence[Sequence[str]], name: str) -> bool:
    index = table[0].index(name)
    return all(row[index] == "-" for row in table[1:])


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(width, column)) for column in zip(*table, strict=True)]


def _total(table: Sequence[Sequence[str]]) -> int:
    widths = _widths(table)
    return sum(widths) + GAP * (len(widths) - 1)


def _width(character: str) -> int:
    import unicodedata  # noqa: PLC0415 - most texts are ASCII

    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
