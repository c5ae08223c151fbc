"""The log says of an app what people are told: once, when it changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gapless.base import events
from gapless.supervisor.control import alarms
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import SeatRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.memory.spec import AppSpec

SPEC = AppSpec(name="shop", command=("node",), directory="/srv")


class Told:
    """An app, and what the log says of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = events.Log(str(path))
        self.app = AppRecord(name="shop", spec=SPEC)
        generation = GenerationRecord(1, SPEC, 0.0, role=Role.SERVING)
        generation.seats = [SeatRecord(0), SeatRecord(1)]
        self.app.generations = [generation]
        self.before = alarms.of(self.app)

    @property
    def seats(self) -> list[SeatRecord]:
        """The seats of its generation."""
        return self.app.generations[0].seats

    def lines(self) -> list[dict[str, Any]]:
        """Return what is said now, without its time."""
        self._path.write_bytes(b"")
        alarms.write(self._log, self.app, self.before)
        self.before = alarms.of(self.app)
        found = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [{k: v for k, v in each.items() if k != "time"} for each in found]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Return an app."""
    return Told(tmp_path / "log")


def test_what_does_not_change_is_not_said(told: Told) -> None:
    """An app is looked at often."""
    assert told.lines() == []


def test_a_restart_says_how_the_last_instance_ended(told: Told) -> None:
    """The one that ended last, of those that did."""
    told.seats[0].exit_reason, told.seats[0].exited_at = "exited with code 1", 5.0
    told.seats[1].exit_reason, told.seats[1].exited_at = "was killed", 7.0
    told.app.count_restart(told.seats[1], "exit")
    (line,) = told.lines()
    assert line == {
        "event": "restarted",
        "app": "shop",
        "restarts": 1,
        "reason": "was killed",
    }
    assert told.lines() == []


def test_who_gave_up_is_said_once(told: Told) -> None:
    """Of one instance, and then of the app."""
    told.seats[1].given_up, told.seats[1].exit_reason = True, "exited with code 1"
    (line,) = told.lines()
    assert line["event"] == "gave-up"
    assert line["reason"] == "gave up on instance 1: exited with code 1"
    assert line["generation"] == 1
    assert told.lines() == []
    told.app.stop_reason = "every instance gave up"
    told.app.generations, told.app.last_generation = [], 3
    (line,) = told.lines()
    assert line["generation"] == 3
    assert line["reason"] == "every instance gave up"


def test_restarts_that_are_counted_from_zero_are_no_restart(told: Told) -> None:
    """`gapless reset`."""
    told.app.count_restart(told.seats[0], "exit")
    told.lines()
    told.app.forget_restarts()
    assert told.lines() == []
