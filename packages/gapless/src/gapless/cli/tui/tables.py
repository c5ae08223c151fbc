"""Tables whose cells change while somebody looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual.widgets import DataTable

from gapless.base.outside.text import printable
from gapless.cli.tui.values import COLOURS


class LiveTable(DataTable[Text]):
    """Shows rows by a key; the cursor stays at its row."""

    def __init__(self, headings: Sequence[str], name: str) -> None:
        super().__init__(
            cursor_type="row", zebra_stripes=False, cell_padding=1, id=name
        )
        self._headings = headings
        self._shown: dict[str, list[str]] = {}

    def on_mount(self) -> None:
        """Make the columns."""
        for heading in self._headings:
            self.add_column(heading, key=heading)

    def show(self, rows: Mapping[str, list[str]]) -> None:
        """Show these rows in their order."""
        if list(rows) != list(self._shown):
            self._show_anew(rows)
        else:
            for key, cells in rows.items():
                before = self._shown[key]
                for heading, cell, old in zip(
                    self._headings, cells, before, strict=True
                ):
                    if cell != old:
                        self.update_cell(key, heading, _text(cell), update_width=True)
        self._shown = {key: list(cells) for key, cells in rows.items()}

    def key_here(self) -> str:
        """Return the key of the row at the cursor; empty if there is none."""
        keys = list(self._shown)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else ""

    def _show_anew(self, rows: Mapping[str, list[str]]) -> None:
        key = self.key_here()
        self.clear()
        for each, cells in rows.items():
            self.add_row(*map(_text, cells), key=each)
        if key in rows:
            self.move_cursor(row=list(rows).index(key), animate=False)


def _text(cell: str) -> Text:
    """Return a cell; rich and textual read no markup in it."""
    return Text(printable(cell), style=COLOURS.get(cell, ""), no_wrap=True)
