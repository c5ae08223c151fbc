"""Where a picture is drawn, and where lines are printed."""

from __future__ import annotations

import io
import sys

import pytest

from gapless.cli import output
from gapless.cli.progress import choice
from gapless.cli.terminal import outlet


def on_screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Make standard output a terminal that understands our colours; return it.

    Not a fixture: pytest puts its own output there before a test is called.
    """
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]  # of this one
    monkeypatch.setattr(sys, "stdout", outlet.Outlet(stream, is_data=False))
    monkeypatch.setattr(output, "_is_plain", False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def test_a_terminal_gets_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """With colours, which NO_COLOR takes away."""
    screen = on_screen(monkeypatch)
    assert not screen.getvalue()
    assert choice.draws()
    assert output.is_terminal()


def test_without_colours_it_is_a_picture_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is about colours alone."""
    on_screen(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    assert choice.draws()
    assert not output.is_terminal()


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    """A line on it cannot be overwritten."""
    on_screen(monkeypatch)
    monkeypatch.setenv("TERM", term)
    assert not choice.draws()
    assert not output.is_terminal()


def test_plain_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As into a file: no control sequence."""
    screen = on_screen(monkeypatch)
    output.be_plain()
    with choice.shown(["web"]) as shown:
        shown.step(
            {"app": "web", "step": "failed", "detail": "x", "generation": 2, "at_s": 1}
        )
    assert screen.getvalue() == "web: generation 2 failed: x (1.00 s)\n"


def test_without_rich_lines_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra `screen` is not installed."""
    screen = on_screen(monkeypatch)
    monkeypatch.setitem(sys.modules, "rich", None)
    with choice.shown(["web"]) as shown:
        shown.step({"app": "web", "step": "ready", "detail": "", "at_s": 1})
    assert screen.getvalue() == "web: ready (1.00 s)\n"


def test_json_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read the report."""
    screen = on_screen(monkeypatch)
    with choice.shown(["web"], as_json=True) as shown:
        shown.step({"app": "web", "step": "ready", "detail": "", "at_s": 1})
    assert screen.getvalue() == ""


def test_what_is_printed_meanwhile_stands_above_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole lines, each once; what is bad is told there in full, in red."""
    screen = on_screen(monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    with choice.shown(["web"]) as shown:
        print("half", end="")
        print(" a line")
        shown.step(
            {"app": "web", "step": "crashed", "detail": "x", "generation": 2, "at_s": 1}
        )
        print("a rest", end="")
    found = screen.getvalue()
    assert "half a line\n" in found
    assert "\x1b[31mweb: generation 2 crashed: x (1.00 s)\x1b[0m\n" in found
    assert found.endswith("a rest")
