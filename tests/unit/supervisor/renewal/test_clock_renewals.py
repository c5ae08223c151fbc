"""When the clock renews an app, whatever is done to the clock."""

from __future__ import annotations

import selectors
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gapless.base import clock, events
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.renewal.renewals import Renewals

NIGHT = time.mktime((2026, 3, 2, 2, 0, 0, 0, 0, -1))
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


class Host:
    """An app that is renewed by the clock, and a clock that is set by the test."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, log: Path, cron: str, wall: float
    ) -> None:
        self.wall, self.renewed = wall, list[float]()
        monkeypatch.setattr(clock, "wall", lambda: self.wall)
        renew = spec.Renew(cron=cron)
        self.app = AppRecord(
            name="web",
            spec=spec.AppSpec(name="web", command=("x",), directory="/", renew=renew),
        )
        membership: Any = SimpleNamespace(members=lambda _: {})
        self.renewals = Renewals(
            selectors.DefaultSelector(),
            Apps(),
            lambda *_: self.renewed.append(self.wall),
            membership,
            log=events.Log(str(log)),
            home="/nowhere",
        )
        self.renewals.update(self.app)

    def at(self, wall: float) -> int:
        """Set the clock, and return how often the app is renewed by that."""
        before, self.wall = len(self.renewed), wall
        for _ in range(3):
            self.renewals.update(self.app)
        return len(self.renewed) - before


def test_a_clock_that_was_ahead_when_the_host_booted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its next time is that of the right clock, not one 400 days ahead."""
    host = Host(monkeypatch, tmp_path / "log", "0 4 * * *", NIGHT + 400 * DAY_S)
    assert host.at(NIGHT) == 0
    assert host.at(NIGHT + 2 * HOUR_S) == 1
    assert host.at(NIGHT + DAY_S) == 0
    assert host.at(NIGHT + DAY_S + 2 * HOUR_S) == 1


def test_times_that_were_skipped_count_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The clock was behind, or the host was asleep."""
    host = Host(monkeypatch, tmp_path / "log", "0 4 * * *", NIGHT)
    assert host.at(NIGHT + 400 * DAY_S) == 1
    assert host.at(NIGHT) == 0
    assert host.at(NIGHT + 2 * HOUR_S) == 1


@pytest.mark.parametrize("back_s", [0.5, 60.0, HOUR_S])
def test_a_time_that_comes_again_counts_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, back_s: float
) -> None:
    """The clock is set back by a little, right after the app was renewed."""
    host = Host(monkeypatch, tmp_path / "log", "0 4 * * *", NIGHT)
    four = NIGHT + 2 * HOUR_S
    assert host.at(four + 0.1) == 1
    assert host.at(four - back_s) == 0
    assert host.at(four + 0.1) == 0
    assert host.at(four + DAY_S) == 1


def test_a_clock_that_was_ahead_by_less_than_the_next_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was passed only by the wrong clock, and not done, comes."""
    host = Host(monkeypatch, tmp_path / "log", "0 4 * * *", NIGHT + 2.5 * HOUR_S)
    assert host.at(NIGHT) == 0
    assert host.at(NIGHT + 2 * HOUR_S) == 1
