"""The question before each change."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from gapless.base.outside.text import printable
from gapless.cli.tui.actions import Deed


class Question(ModalScreen[Deed | None]):
    """Asks whether to do something; returns it, or None."""

    BINDINGS: ClassVar = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
    ]
    CSS = """
    Question { align: center middle; }
    #box { width: 60; max-width: 95%; height: auto; padding: 1 2;
           border: round $warning; background: $surface; }
    #box Label { width: 100%; }
    """

    def __init__(self, deed: Deed) -> None:
        super().__init__()
        self._deed = deed

    def compose(self) -> ComposeResult:
        """Show the question."""
        with Vertical(id="box"):
            yield Label(Text(printable(self._deed.question())))
            yield Label(Text("y: yes   n: no", style="dim"))

    def action_answer(self, is_yes: bool) -> None:
        """Close with the answer."""
        self.dismiss(self._deed if is_yes else None)


class HowMany(ModalScreen[int | None]):
    """Asks for a number of instances; returns it, or None."""

    BINDINGS: ClassVar = [Binding("escape", "leave", "leave it")]
    CSS = Question.CSS.replace("Question", "HowMany")

    def __init__(self, deed: Deed) -> None:
        super().__init__()
        self._deed = deed

    def compose(self) -> ComposeResult:
        """Show the question, with the number of now."""
        with Vertical(id="box"):
            yield Label(Text(printable(self._deed.question())))
            yield Input(str(self._deed.instances), type="integer", max_length=6)
            yield Label(Text("enter: do it   escape: leave it", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close with the number, if it is one."""
        if event.value.isdigit() and int(event.value):
            self.dismiss(int(event.value))
        else:
            self.notify("that is no number of instances", severity="error")

    def action_leave(self) -> None:
        """Close without one."""
        self.dismiss(None)
