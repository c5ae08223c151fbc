"""The comparison with other tools: its arguments, its sums, and its table on the pages."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from bench.compare import facts, table
from bench.compare.__main__ import ENTRIES, SECONDS, chosen
from bench.compare.chinese import CHINESE
from rig.hosts.host import ROOT

FIGURE = r"\d+(?:[,.]\d+)*"
NONE = facts.Lost(requests=1_000, kinds={"new": 0, "kept": 0, "post": 0})
SOME = facts.Lost(requests=2_000, kinds={"new": 9, "kept": 3, "post": 0})
RELEASE = facts.Release(first_new_s=0.25, all_new_s=0.5, gone_s=3.0, command_s=3.25)
NEVER = facts.Release(first_new_s=None, all_new_s=None, gone_s=None, command_s=None)
FOUND = facts.Found(
    tool="gapless, node",
    bare_s=0.1,
    lost=NONE,
    releases=(RELEASE,) * 3,
    p99_ratio=1.25,
    broken_lost=NONE,
    broken_code=1,
    broken_serves=True,
    killed_lost=NONE,
    killed_serves=True,
    killed_released=True,
    memory_mb=28.4,
    cpu_ms=0.0,
)


def request(began: float, version: str, fate: str = "answered") -> str:
    """Return the line of a request in a ledger."""
    return json.dumps(
        {
            "kind": "new",
            "fate": fate,
            "version": version,
            "began": began,
            "ended": began + 0.01,
        }
    )


def table_of(page: str) -> list[str]:
    """Return the lines of the table between the marks of a page."""
    between = (ROOT / page).read_text().split(table.BEGIN)[1].split(table.END)[0]
    return [line for line in between.splitlines() if line.startswith("|")]


# --- arguments ------------------------------------------------------------------------


def test_all_tools_are_measured_unless_some_are_named() -> None:
    """A tool is named by a part of its name, after the seconds."""
    assert chosen([]).names == tuple(ENTRIES)
    assert chosen([]).seconds == SECONDS
    some = chosen(["10", "PM2", "circus"])
    assert some.seconds == 10
    assert some.names == ("PM2 reload, node", "circus reload, uvicorn")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nginx"], "no tool is named 'nginx'"),
        (["0"], "from 1 to 3600"),
        (["99999"], "from 1 to 3600"),
        (["--write", "PM2"], "--write needs the whole table"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends before anything is started."""
    with pytest.raises(SystemExit) as ended:
        chosen(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


# --- sums -----------------------------------------------------------------------------


def test_a_release_is_everywhere_when_the_last_old_answer_was_begun() -> None:
    """Neither losses nor the next release count."""
    lines = [
        request(9, "1"),
        request(10.5, "1"),
        request(10.6, "2"),
        request(10.7, "1"),
        request(10.8, "", "refused"),
        request(12, "2"),
        request(21, "3"),
    ]
    sent = facts.requests(lines)
    window = facts.Window(version="2", asked=10, ended=13)
    assert facts.all_new_s(sent, window, 20, ["new"]) == pytest.approx(0.7)
    never = facts.Window(version="4", asked=10, ended=13)
    assert facts.all_new_s(sent, never, 20, ["new"]) is None
    late = facts.Window(version="2", asked=20, ended=22)
    assert facts.all_new_s(sent, late, 30, ["new"]) == 0
    assert facts.lost(sent, ["new", "kept"]).kinds == {"new": 1, "kept": 0}


def test_what_never_came_is_longer_than_all() -> None:
    """The median of two that never came is that."""
    assert facts.median([2.0, None, 1.0]) == 2.0
    assert facts.median([2.0, None, None]) is None


def test_a_ratio_of_few_requests_is_none() -> None:
    """A 99th percentile needs a hundred."""
    window = facts.Window(version="2", asked=500, ended=1_000)
    many = facts.requests(request(number, "1") for number in range(1_000))
    assert facts.p99_ratio(many, [window]) == pytest.approx(1, abs=0.01)
    assert facts.p99_ratio(many[:550], [window]) is None


# --- the table ------------------------------------------------------------------------


def test_a_row_says_what_was_measured() -> None:
    """A tool without an exit code, or a version that never came, has a word there."""
    assert table.row(FOUND) == (
        "| gapless, node | 0 of 1,000 | 0.2 s; 0.5 s (0.1 s) | 3.0 s | 3.2 s | 1.2 "
        "| 0 of 1,000; code 1; serves | 0 of 1,000; serves; next release works "
        "| 28 MB, 0 ms |"
    )
    worse = replace(
        FOUND,
        lost=SOME,
        releases=(NEVER,) * 3,
        p99_ratio=None,
        broken_code=None,
        broken_serves=False,
        killed_released=False,
    )
    assert table.row(worse) == (
        "| gapless, node | 12 of 2,000 (9 new, 3 kept, 0 POST) "
        "| never; never (0.1 s) | never | a signal | none "
        "| 0 of 1,000; a signal; out of service "
        "| 0 of 1,000; serves; no next release | 28 MB, 0 ms |"
    )


def test_a_short_row_says_what_decides() -> None:
    """What was lost, what became of the app, and what that costs."""
    assert table.short_row(FOUND) == (
        "| gapless, node | 0 of 1,000 | 0.5 s | 0, serves "
        "| 0, serves, next release works | 28 MB |"
    )
    assert table.short_row(replace(FOUND, lost=SOME, killed_released=False)) == (
        "| gapless, node | 12 of 2,000 | 0.5 s | 0, serves "
        "| 0, serves, no next release | 28 MB |"
    )


def test_each_language_has_each_word_and_each_column() -> None:
    """A row has as many cells as the head."""
    for words in (table.WORDS, CHINESE):
        assert words.keys() == table.WORDS.keys()
        lines = table.table([FOUND], words).splitlines()
        assert {line.count("|") for line in lines} == {table.COLUMNS + 1}
        lines = table.short_table([FOUND], words).splitlines()
        assert {line.count("|") for line in lines} == {table.SHORT_COLUMNS + 1}


def test_a_page_keeps_what_is_around_the_marks() -> None:
    """A page without them is refused."""
    page = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    new = table.between_marks(page, "new")
    assert new == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    for wrong in ("nothing", page + page, f"{table.END}{table.BEGIN}"):
        with pytest.raises(ValueError, match="the page has"):
            table.between_marks(wrong, "new")


def test_the_readme_shows_rows_of_the_comparison() -> None:
    """The page has a row for each tool, or says why not; the Chinese one its figures."""
    rows = table_of("docs/benchmarks.md")
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    shown = [row.split(" | ")[0].strip("| ") for row in rows[2:]]
    missing = [name for name in ENTRIES if f"Not measured: {name} (" in page]
    assert shown == [name for name in ENTRIES if name not in missing]
    few = table_of("README.md")
    assert few[:2] == table.short_table([]).splitlines()
    figures_of = {row.split(" | ")[0]: set(re.findall(FIGURE, row)) for row in rows}
    of = [row.split(" | ")[0] for row in few[2:]]
    assert of == [f"| {name}" for name, each in ENTRIES.items() if each.in_readme]
    for row in few[2:]:
        assert set(re.findall(FIGURE, row)) <= figures_of[row.split(" | ")[0]]
    chinese = table_of("README.zh-CN.md")
    assert chinese[:2] == table.short_table([], CHINESE).splitlines()
    for own, other in zip(few, chinese, strict=True):
        assert sorted(re.findall(FIGURE, own)) == sorted(re.findall(FIGURE, other))
