"""A log of an app for a terminal: its colours stay, everything else can be seen.  Pure.

Rule 1: newlines, tabs and select graphic rendition (ECMA-48, 8.3.117: ESC [ ... m) pass;
CR before a newline is left out; every other control character is escaped.
Rule 2: text is never hidden (parameter 8), and no colour goes on into the next line.
Rule 3: a sequence or a character may be cut anywhere: what is incomplete waits.
"""

from __future__ import annotations

import codecs
import re

from gapless.base.outside.text import printable

_LONGEST = 64
"""No longer sequence is a colour: a program names it in a few numbers."""
_SEQUENCE = re.compile(rf"\x1b\[([0-9;:]{{0,{_LONGEST}}})m")
_BEGUN = re.compile(rf"(?:\x1b(?:\[[0-9;:]{{0,{_LONGEST}}})?|\r)\Z")
_PLAIN = "\x1b[0m"
_CONCEAL = "8"
_WITH_COLOUR = {"38", "48", "58"}
_COLOUR_WORDS = {"5": 2, "2": 4}
"""How many parameters follow 38, 48 or 58: `5;N`, or `2;R;G;B`."""


class LogText:
    """Turns the bytes of one log into bytes for a terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._waiting = ""
        self._is_coloured = False

    def shown(self, piece: bytes) -> bytes:
        """Return what is shown of the next piece of a log."""
        text = self._waiting + self._decoder.decode(piece)
        begun = _BEGUN.search(text)
        self._waiting = begun[0] if begun else ""
        text = text.removesuffix(self._waiting).replace("\r\n", "\n")
        pieces = _SEQUENCE.split(text)
        # re.split() puts the parameters of the sequences between the texts.
        for index, each in enumerate(pieces):
            pieces[index] = self._colour(each) if index % 2 else self._text(each)
        if self._is_coloured:  # what is printed next may be of another log
            pieces.append(_PLAIN)
            self._is_coloured = False
        return "".join(pieces).encode()

    def _text(self, text: str) -> str:
        shown = printable(text, kept="\n\t")
        if self._is_coloured and "\n" in shown:
            first, rest = shown.split("\n", 1)
            shown, self._is_coloured = f"{first}{_PLAIN}\n{rest}", False
        return shown

    def _colour(self, parameters: str) -> str:
        kept = visible(parameters)
        if kept is None:
            return ""
        self._is_coloured = True
        return f"\x1b[{kept}m"


def visible(parameters: str) -> str | None:
    """Return the parameters of a rendition that hide nothing; None: none are left."""
    words = [each.lstrip("0") or each[-1:] for each in parameters.split(";")]
    kept: list[str] = []
    while words:
        taken = 1
        if words[0] in _WITH_COLOUR:
            taken += _COLOUR_WORDS.get("".join(words[1:2]), len(words))
            if taken > len(words):
                break  # terminals differ in what they make of an incomplete colour
        if words[0].partition(":")[0] != _CONCEAL:
            kept += words[:taken]
        del words[:taken]
    return ";".join(kept) if kept else None
