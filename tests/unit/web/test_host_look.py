"""What the page shows of logs and reports."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gapless.base.names import Home
from gapless.web import report_files
from gapless.web.feed import pause_s
from gapless.web.host_look import LEFT_OUT, MOST_LINES, TAIL_BYTES, LogTail, line_of


def test_a_log_is_followed_across_rotation(tmp_path: Path) -> None:
    """A line is told when it has ended, and once."""
    path = tmp_path / "log"
    tail = LogTail(str(path))
    assert tail.lines() == []
    path.write_bytes(b"one\ntwo\nthr")
    assert tail.lines() == ["one", "two"]
    with path.open("ab") as log:
        log.write(b"ee\n")
    assert tail.lines() == ["three"]
    assert tail.lines() == []
    path.rename(tmp_path / "log.1")  # as gapless rotates it
    path.write_bytes(b"four\n")
    assert tail.lines() == ["four"]
    path.write_bytes(b"")
    assert tail.lines() == []
    path.write_bytes(b"5\n")
    assert tail.lines() == ["5"]


@pytest.mark.parametrize("aside", ["log.1", "log-20260101"])
def test_lines_right_before_a_rotation_are_said_to_be_left_out(
    tmp_path: Path, aside: str
) -> None:
    """They are in the file that was moved aside, which the page does not read."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    tail = LogTail(str(path))
    assert tail.lines() == ["one"]
    with path.open("ab") as log:
        log.write(b"two\n")
    path.rename(tmp_path / aside)
    path.write_bytes(b"three\n")
    assert tail.lines() == [LEFT_OUT, "three"]
    assert tail.lines() == []


def test_a_flood_of_lines_is_bounded_and_said(tmp_path: Path) -> None:
    """Nobody reads 10,000 lines a second; `gapless logs` has them."""
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    tail = LogTail(str(path))
    tail.lines()
    with path.open("ab") as log:
        log.write(b"".join(b"line %d\n" % n for n in range(20_000)))
    found = tail.lines()
    assert found[0] == LEFT_OUT
    assert found[-1] == "line 19999"
    assert len(found) == MOST_LINES + 1
    path.write_bytes(b"x" * (3 * TAIL_BYTES))
    for _ in range(5):
        assert sum(map(len, tail.lines())) < TAIL_BYTES


def test_what_is_no_log_is_said_once(tmp_path: Path) -> None:
    """A link could lead to what the app may not read; a FIFO would never answer."""
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        tail = LogTail(str(tmp_path / name))
        (told,) = tail.lines()
        assert "cannot be read" in told
        assert tail.lines() == []


def test_a_line_is_text() -> None:
    """Colours are left out, and all else can be seen."""
    assert line_of(b"\x1b[31mred\x1b[0m\ttab\r") == "red    tab"
    assert line_of(b"\x1b]0;title\x07\xff") == "\\x1b]0;title\\x07\\udcff"
    assert len(line_of(b"x" * 10_000)) == 2000


def test_reports_are_listed_and_masked(tmp_path: Path) -> None:
    """The newest is first; what is no report, or elsewhere, is none."""
    home = Home(str(tmp_path))
    folder = tmp_path / "reports" / "shop"
    folder.mkdir(parents=True)
    report = {"action": "reload", "outcome": "done", "cut": [{"connections": 2}]}
    (folder / "reload-2.json").write_text(json.dumps(report))
    (folder / "bad.json").write_text("[" * 5000)
    (folder / "list.json").write_text("[]")
    (folder / "link.json").symlink_to("reload-2.json")
    (tmp_path / "state.json").write_text("{}")
    (found,) = report_files.listed(home, "shop")
    assert (found["name"], found["cut"]) == ("reload-2.json", 2)
    assert report_files.one(home, "shop", "reload-2.json") is not None
    for app, name in (
        ("shop", "../../state.json"),
        ("../", "state.json"),
        ("shop", "link.json"),
        ("shop", ""),
        ("none", "reload-2.json"),
    ):
        assert report_files.one(home, app, name) is None
    assert report_files.listed(home, "..") == []


def test_an_answer_that_was_dear_is_asked_for_less_often() -> None:
    """That bounds the share of a processor that a page costs the supervisor."""
    assert pause_s(0.0, 1.0) == 1.0
    assert pause_s(0.02, 1.0) == 5.0
    assert pause_s(9.0, 1.0) == 30.0
