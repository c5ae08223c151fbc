"""The picture of long work: what each line says, and how it fits a terminal."""

from __future__ import annotations

import io
import os
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.cli.progress import drawing, model
from gapless.cli.progress.canvas import Canvas, Row
from gapless.cli.progress.model import Line, Mood
from gapless.cli.terminal import columns

SGR = re.compile(r"\x1b\[[0-9;]*m")


def step(name: str, detail: str = "", generation: int | None = 2) -> dict[str, Any]:
    """Return a step as the supervisor tells it."""
    return {"step": name, "detail": detail, "generation": generation, "at_s": 0.1}


def described(**connections: int | None) -> dict[str, Any]:
    """Return what `describe` tells of generations g1, g2... with so many connections."""
    numbers = {int(name[1:]): count for name, count in connections.items()}
    return {
        "generations": [{"generation": number} for number in numbers],
        "instances_detail": [
            {"generation": number, "connections": count}
            for number, count in numbers.items()
        ],
    }


def test_a_reload_is_followed_from_its_first_step_to_its_end() -> None:
    """Its phase, old -> new, connections moved and left, what it waits for."""
    line = model.after_step(Line(name="web"), step("starting", "2 instances"))
    assert (line.phase, line.new, line.words) == ("starts", "2", "2 instances")
    assert line.is_worth_a_look
    line = model.after_look(line, described(g1=5, g2=0), "")
    assert (line.old, line.moved, line.left) == ("1", 0, 5)
    assert not line.is_worth_a_look
    line = model.after_step(line, step("draining", "generation 1"))
    line = model.after_look(line, described(g1=2, g2=3), "month since 10:00:00")
    assert (line.moved, line.left, line.words) == (3, 2, "month since 10:00:00")
    line = model.ended(line, "done", "", 9.0)
    assert (line.mood, line.phase, line.left, line.ended_s) == (
        Mood.DONE,
        "done",
        None,
        9,
    )
    assert model.after_look(line, described(g1=2, g2=3), "") == line


def test_what_failed_is_bad_and_says_why() -> None:
    """A step that went wrong, and a report that is not done."""
    line = model.after_step(Line(name="web"), step("crashed", "exit code 1"))
    assert (line.mood, line.words) == (Mood.BAD, "exit code 1")
    line = model.ended(line, "failed", "x" * 5000, 1.0)
    assert line.mood is Mood.BAD
    assert len(line.words) == model.LONGEST_WORDS


def test_connections_that_are_not_seen_are_not_counted() -> None:
    """The kernel may not show them."""
    line = model.after_step(Line(name="web"), step("switched"))
    line = model.after_look(line, described(g1=None, g2=None), "")
    assert (line.moved, line.left) == (None, None)


def test_a_host_of_a_fleet_has_a_line() -> None:
    """It goes on counting while it works, and stops when it is done."""
    line = model.of_host(
        Line(name="app1"), phase="changing", release="r2", reason="", now=1.0
    )
    assert (line.mood, line.new, line.ended_s) == (Mood.ACTIVE, "r2", None)
    line = model.of_host(line, phase="done", release="r2", reason="", now=2.0)
    line = model.of_host(line, phase="done", release="r2", reason="", now=3.0)
    assert (line.mood, line.ended_s) == (Mood.DONE, 2.0)


def test_where_there_is_no_room_what_is_bad_or_under_way_is_kept() -> None:
    """The rest is counted."""
    moods = [Mood.DONE] * 50 + [Mood.ACTIVE] * 2 + [Mood.BAD] + [Mood.WAITING] * 50
    lines = [Line(name=str(n), mood=mood) for n, mood in enumerate(moods)]
    kept, rest = model.chosen(lines, 5)
    assert [each.name for each in kept] == ["50", "51", "52", "53"]
    assert rest == "and 49 waiting, 50 done"
    assert model.chosen(lines[:5], 5) == (lines[:5], "")


@settings(max_examples=25)
@given(
    st.text(max_size=30),
    st.text(max_size=60),
    st.integers(1, 200),
    st.booleans(),
)
def test_no_row_is_wider_than_the_terminal_and_no_text_steers_it(
    name: str, words: str, width: int, in_colour: bool
) -> None:
    """Names and reasons come from outside; the only sequences are our colours."""
    lines = [
        Line(name=name, words=words, old="1", new="2", moved=3, left=4),
        Line(name="web", mood=Mood.BAD, words=f"\x1b[2J[bold]{words}"),
    ]
    rows = drawing.rows(lines, words, now=3.0, columns=width, in_colour=in_colour)
    for row in rows:
        assert row.cells < max(width, 2)
        plain = SGR.sub("", row.text)
        assert plain.isprintable()
        assert in_colour or plain == row.text


def test_markup_in_a_reason_is_text() -> None:
    """Rich would read [bold] and :smile: in a plain string."""
    line = Line(name="[red]web", words="[/] :smile: \x1b[2J")
    (row,) = drawing.rows([line], "", now=0, columns=100, in_colour=False)
    assert "[red]web" in row.text
    assert "[/] :smile: \\x1b[2J" in row.text


def test_a_picture_is_drawn_over_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row that was drawn in a wider terminal stands on two lines of a narrow one."""
    stream = io.StringIO()
    canvas = Canvas(stream)
    monkeypatch.setattr(Canvas, "size", lambda _: os.terminal_size((10, 24)))
    canvas.draw([Row(text="a" * 15, cells=15), Row(text="b", cells=1)])
    canvas.draw([Row(text="c", cells=1)])
    canvas.erase()
    drawn = stream.getvalue()
    assert "\r\x1b[3Ac" in drawn
    assert drawn.endswith("\r\x1b[1A\x1b[J")
    assert "\x1b[?25l" not in drawn  # nothing is to be restored if it is killed


# --- tables -------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    st.lists(st.tuples(*[st.text(max_size=20)] * 3), min_size=1, max_size=5),
    st.integers(30, 100),
)
def test_a_table_fits_the_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    """Columns leave in their order, then cells are cut."""
    shown = [[cell.replace("\n", " ") for cell in row] for row in rows]
    headings, found = columns.fitted(["app", "b", "c"], shown, width, ["c", "b"])
    assert headings[0] == "app"
    for row in [headings, *found]:
        assert sum(map(columns.width, row)) + columns.GAP * (len(row) - 1) <= width


def test_a_column_that_says_nothing_leaves_first() -> None:
    """And nothing leaves where there is room."""
    headings = ["app", "requests", "release"]
    rows = [["web", "12", "-"]]
    assert columns.fitted(headings, rows, 80, ["requests", "release"])[0] == headings
    found, _ = columns.fitted(headings, rows, 15, ["requests", "release"])
    assert found == ["app", "requests"]


def test_wide_and_combining_characters_are_measured() -> None:
    """As a terminal does."""
    assert columns.width("日本") == 4
    assert columns.width("e\u0301") == 1
    assert columns.cut("日本語", 5) == "日本>"
