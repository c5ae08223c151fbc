"""Reports: what they count, and how many are kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gapless.supervisor.control import reports
from gapless.supervisor.memory import report_files
from gapless.supervisor.memory.counts import Totals
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.spec import AppSpec

SPEC = AppSpec(name="shop", command=("node",), directory="/srv")


def test_what_is_cut_was_seen() -> None:
    """A connection that ended with a crash may be counted as cut only."""
    operation = Operation("shop", "reload", 0.0, "", SPEC, connections_cut=1)
    counted = reports.report(operation)["connections"]
    assert counted == {
        "seen": 1,
        "finished": 0,
        "cut": 1,
        "unknown": 0,
        "taken_over": 0,
        "given_back": 0,
    }


def test_what_was_not_seen_is_not_reported_as_nothing() -> None:
    """There are no numbers where the kernel shows no connections."""
    operation = Operation("shop", "reload", 0.0, "", SPEC, unseen=True)
    assert reports.report(operation)["connections"] is None


def test_reports_add_up() -> None:
    """By action and outcome; a way back is one of its own."""
    totals = Totals()
    for failure, steps in (("", []), ("it died", []), ("it died", ["reverted"])):
        operation = Operation("shop", "reload", 0.0, "", SPEC, failure=failure)
        operation.connections_seen, operation.connections_cut = 3, 1
        for step in steps:
            operation.step(step, 1.0)
        totals.add(reports.report(operation), 1.5)
    words = ("reload done", "reload failed", "reload reverted")
    assert totals.operations == dict.fromkeys(words, 1)
    assert totals.took_s == dict.fromkeys(words, 1.5)
    assert totals.connections == {"finished": 6, "cut": 3}
    assert totals.cut == {"connections": 3}


def test_a_report_is_added_where_it_ends() -> None:
    """Whoever waits for it, or nobody."""
    totals = Totals()
    operation = Operation("shop", "stop", 0.0, "", SPEC, unseen=True)
    reports.end(operation, totals)
    assert totals.operations == {"stop done": 1}


def test_no_report_is_written_over(tmp_path: Path) -> None:
    """Generations are counted anew after a delete, and a generation may be scaled twice."""
    for number in range(3):
        report_files.add(str(tmp_path), "start-1", {"number": number})
    found = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert found == {
        "start-1.json": {"number": 0},
        "start-1.2.json": {"number": 1},
        "start-1.3.json": {"number": 2},
    }


def test_the_report_of_an_operation_that_ends_again_is_the_same_file(
    tmp_path: Path,
) -> None:
    """A supervisor that died before it noted the end leaves no second report."""
    first = {"app": "shop", "action": "stop", "token": "a", "started_at": "8:00:00.1"}
    for report in (first, first | {"steps": 3}, first | {"token": "b"}):
        report_files.add(str(tmp_path), "stop-1", report)
    found = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert found["stop-1.json"] == first | {"steps": 3}
    assert found["stop-1.2.json"]["token"] == "b"
    assert len(found) == 2


def test_the_oldest_reports_are_removed(tmp_path: Path) -> None:
    """As many as are kept stay, the newest among them."""
    for number in range(report_files.KEPT + 7):
        path = tmp_path / f"reload-{number}.json"
        path.write_text("{}")
        os.utime(path, (number, number))
    report_files.add(str(tmp_path), "reload-900", {})
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == report_files.KEPT
    assert {"reload-900.json", "reload-8.json"} <= left
    assert "reload-7.json" not in left
