"""The logs of the app that is selected: followed, and filtered by a word."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, RichLog, Static

MOST_LINES = 2000
"""So many lines are kept to be filtered."""


class LogView(Vertical):
    """A log, and the line with the filter."""

    DEFAULT_CSS = """
    LogView Input { height: 1; border: none; padding: 0 1; }
    LogView Input:focus { border: none; }
    #left-out { height: 1; padding: 0 1; display: none; }
    LogView RichLog { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[Text] = deque(maxlen=MOST_LINES)
        self._word = ""
        self._app = ""

    def compose(self) -> ComposeResult:
        """Make both."""
        yield Input(placeholder="/ filters, f follows or stops", id="filter")
        yield Static(id="left-out")
        yield RichLog(max_lines=MOST_LINES, wrap=False, markup=False, id="log")

    def add(self, app: str, lines: Sequence[str], left_out: str) -> None:
        """Add lines, in which only colours are control sequences."""
        if app != self._app:
            self._app = app
            self._lines.clear()
            self._log.clear()
        note = self.query_one("#left-out", Static)
        note.display = bool(left_out)
        note.update(Text(f"too many to show: {left_out} left out", style="yellow"))
        for line in lines:
            self._add(Text.from_ansi(line))

    def follow(self) -> bool:
        """Follow the log, or stop following it; return whether it follows now."""
        self._log.auto_scroll = not self._log.auto_scroll
        if self._log.auto_scroll:
            self._log.scroll_end(animate=False)
        return self._log.auto_scroll

    def ask_filter(self) -> None:
        """Let the user type a word."""
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the lines with the word only."""
        event.stop()
        self._word = event.value.lower()
        self._log.clear()
        for line in self._lines:
            self._show(line)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go from the filter to the log."""
        event.stop()
        self._log.focus()

    @property
    def _log(self) -> RichLog:
        return self.query_one(RichLog)

    def _add(self, line: Text) -> None:
        self._lines.append(line)
        self._show(line)

    def _show(self, line: Text) -> None:
        if self._word in line.plain.lower():
            self._log.write(line)
