"""Text from outside, for a terminal or a line of a file: all of it can be seen."""

from __future__ import annotations


def printable(text: str, *, kept: str = "") -> str:
    r"""Return a text in which what is not printable is escaped: ESC is shown as \x1b.

    That is what `str.isprintable` refuses: control and format characters (also those that
    turn the direction of text), separators of lines, and bytes that are not UTF-8.  Those
    in *kept* stay.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in kept else _escaped(each) for each in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
