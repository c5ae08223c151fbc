"""What `gapless top` shows of what it is told, how often it asks, and the logs it reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.cli.tui import feed, log_feed, values

ROW: dict[str, Any] = {
    "name": "we\x1bb",
    "status": "online",
    "instances": {"ready": 1, "wanted": 2},
    "generation": 3,
    "restarts": 4,
    "restarts_by": {"crash": 3, "memory": 1, "hung": 0},
    "requests": None,
    "procedures": 2,
    "cpu_percent": 12.5,
    "memory_bytes": 3 << 20,
    "reason": "it \x1b[2J failed",
    "addresses": ["127.0.0.1:80"],
}


def test_a_row_fits_80_columns_and_steers_nothing() -> None:
    """The name is cut, what cannot be seen is escaped."""
    trends = values.Trends()
    for cpu in (0, 50, 100):
        trends.add(ROW | {"cpu_percent": cpu})
    cells = values.app_cells(ROW | {"name": "x\x1b" * 30}, trends, 80)
    assert cells[0] == "x\\x1bx\\x1bx>"[:11] + ">"
    assert cells[1:5] == ["online", "1/2", "3", "4"]
    assert cells[5:7] == ["-", "2"]
    assert cells[-1] == "      ▄█"
    assert all(cell.isprintable() for cell in cells)


def test_restarts_are_told_by_their_cause() -> None:
    """And why an app is as it is."""
    assert values.sentence(ROW) == (
        "it \\x1b[2J failed; restarts by cause: crash 3, memory 1; "
        "listens on 127.0.0.1:80"
    )


@pytest.mark.parametrize(
    ("status", "release", "expected"),
    [
        ("online", "shop-20260101000001", "shop-20260101000001"),
        ("draining", "shop-20260101000001", "shop-20260101000001"),
        ("stopped", "shop-20260101000001", ""),
        ("gave up", "shop-20260101000001", ""),
        ("online", "v2", ""),
        ("online", None, ""),
    ],
)
def test_a_release_serves_only_if_its_app_runs(
    status: str, release: str | None, expected: str
) -> None:
    """The row of one that was stopped names the release that it ran last."""
    row = {"status": status, "release": release}
    assert values.release_that_serves(row) == expected


def test_trends_of_nothing_are_empty() -> None:
    """An app that uses nothing, and one that has just come."""
    assert values.bars([]) == " " * values.TREND
    assert values.bars([0, 0]) == " " * values.TREND


def test_a_release_is_seen_by_its_generations() -> None:
    """The role of each, its instances by phase, its connections, its queue."""
    instance = {"generation": 2, "phase": "ready", "connections": 3}
    described = {
        "generations": [
            {"generation": 1, "role": "retiring", "release": None, "sockets": []},
            {
                "generation": 2,
                "role": "serving",
                "release": "r\x1b",
                "sockets": [{"queued": 4}],
            },
        ],
        "instances_detail": [
            instance,
            instance | {"phase": "starting", "connections": None},
            instance | {"generation": 1, "phase": "draining", "connections": None},
        ],
    }
    assert values.generation_cells(described) == [
        ["1", "retiring", "-", "1 draining", "not seen", "0"],
        ["2", "serving", "r\\x1b", "1 ready, 1 starting", "3", "4"],
    ]


def test_the_next_question_comes_after_a_time_that_pays_for_the_last() -> None:
    """Less than a percent of a processor, whatever an answer costs, up to a limit."""
    for cost_s in (0.001, 0.015, 0.1):
        assert cost_s / feed.pause_s(cost_s) <= 0.01
    assert feed.pause_s(0) == feed.LEAST_S
    assert feed.pause_s(60) == feed.MOST_S
    assert feed.cost_s(1.0, 1.25, 9.0) == 0.25
    assert feed.cost_s(None, 5.0, 9.0) == 0.0
    assert feed.cost_s(1.0, None, 9.0) == 9.0


@pytest.fixture
def source(tmp_path: Path) -> Iterator[log_feed._Source]:
    """Return a log that the screen reads."""
    (tmp_path / "log").write_bytes(b"old\n")
    found = log_feed._Source(str(tmp_path / "log"))
    try:
        yield found
    finally:
        found.close()


def test_of_many_lines_the_newest_are_shown_and_the_rest_is_counted(
    source: log_feed._Source, tmp_path: Path
) -> None:
    """Lines that were read, and bytes that nobody could read any more."""
    assert source.lines() == (["old"], "")
    with (tmp_path / "log").open("ab") as log:
        log.write(b"".join(b"line %d \x1b[2J\n" % n for n in range(500)))
        log.write(b"half")
    lines, left_out = source.lines()
    assert (lines[0], lines[-1]) == ("line 400 \\x1b[2J", "line 499 \\x1b[2J")
    assert left_out == "400 lines"
    with (tmp_path / "log").open("ab") as log:
        log.write(b" line\n" + b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 30_000)
    lines, left_out = source.lines()
    assert len(lines) == log_feed.LINES
    assert "M that were not read" in left_out
