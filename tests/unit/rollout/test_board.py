"""What a host sees of the others in the records that they share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.base.errors import UnavailableError
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.coordinator.memory import MemoryCoordinator
from gapless.coordinator.model import Entry
from gapless.rollout.board import KEPT_HISTORY, Board
from gapless.rollout.model import Cue, HostReport, Rollout

GONE_S = 90.0
BEAT_S = 30.0


class World:
    """One time, one coordinator, which may be away, and a board for each host."""

    def __init__(self) -> None:
        self.now, self.shared = 1000.0, _Away()
        self._versions: dict[str, int] = {}
        self._boards: dict[str, Board] = {}

    def board(self, host: str) -> Board:
        """Return the board of a host, always the same."""
        made = Board(self.shared, "app", now=lambda: self.now, complain=pytest.fail)
        return self._boards.setdefault(host, made)

    def speak(self, *hosts: str) -> None:
        """Let hosts say something."""
        for host in hosts:
            before = self._versions.get(host, 0)
            self._versions[host] = self.board(host).report(
                HostReport(host=host), before
            )

    def pass_time(self, host: str, seconds: float) -> None:
        """Let a host speak and look every second, and the others be silent."""
        for _ in range(int(seconds)):
            self.now += 1.0
            self.speak(host)
            self.seen_by(host)

    def seen_by(self, host: str) -> list[str]:
        """Return who is there for a host."""
        return sorted(each.host for each in self.board(host).there(GONE_S))


class _Away(MemoryCoordinator):
    """A coordinator that can be away."""

    away = False

    def read(self, key: str) -> Entry | None:
        """Return what is there."""
        self._check()
        return super().read(key)

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return what is below."""
        self._check()
        return super().read_all(prefix)

    def wait(
        self, prefix: str, seen: Mapping[str, int], timeout_s: float
    ) -> dict[str, Entry]:
        """Return what is below at once: the time of this world has passed already."""
        assert timeout_s > 0
        assert seen is not None
        return self.read_all(prefix)

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("it is away")


def test_a_host_that_is_silent_is_gone() -> None:
    """Seen by one that looks all the time."""
    world = World()
    world.speak("a", "b")
    assert world.seen_by("a") == ["a", "b"]
    world.pass_time("a", GONE_S)
    assert world.seen_by("a") == ["a"]


def test_a_host_at_rest_sees_who_has_gone_meanwhile() -> None:
    """It waits for news of rollouts, and hardly looks."""
    world = World()
    world.speak("a", "b")
    assert world.seen_by("a") == ["a", "b"]
    for _ in range(10):
        world.now += BEAT_S
        world.speak("a")
        assert world.board("a").wait(BEAT_S)
    assert world.seen_by("a") == ["a"]


def test_a_coordinator_that_was_away_takes_no_host_out() -> None:
    """Nobody could speak: who looks first when it is back must not believe to be alone."""
    world = World()
    world.speak("a", "b")
    assert world.seen_by("a") == ["a", "b"]
    world.shared.away = True
    for _ in range(100):
        world.now += 2.0
        with pytest.raises(UnavailableError):
            world.board("a").rollout()
    world.shared.away = False
    world.board("a").rollout()
    world.speak("a")
    assert world.seen_by("a") == ["a", "b"]
    world.pass_time("a", GONE_S)
    assert world.seen_by("a") == ["a"]


def test_a_coordinator_that_was_away_while_news_was_waited_for() -> None:
    """As long as one beat: that is less than what makes a host be gone."""
    world = World()
    world.speak("a", "b")
    assert world.seen_by("a") == ["a", "b"]
    for _ in range(2):
        world.now += BEAT_S
        assert world.board("a").wait(BEAT_S)
    assert world.seen_by("a") == ["a", "b"]


def test_looks_that_take_long_do_not_stop_the_clock() -> None:
    """In a large fleet each look takes seconds; a host that is gone is still found out."""
    world = World()
    world.speak("a", "b")
    seen = world.seen_by("a")
    assert seen == ["a", "b"]
    for _ in range(int(GONE_S) // 10):
        world.now += 15.0
        assert world.board("a").wait(10.0)
        world.speak("a")
        seen = world.seen_by("a")
    assert seen == ["a"]


def _build(number: int, previous: str) -> Rollout:
    return Rollout(app="app", number=number, release=f"app-{number}", previous=previous)


def test_history_has_an_end_and_so_many_keys(tmp_path: Path) -> None:
    """A key that was removed leaves something behind, so keys are used again."""
    shared = DirectoryCoordinator(str(tmp_path), pytest.fail)
    board = Board(shared, "app", now=lambda: 0.0, complain=pytest.fail)
    for _ in range(KEPT_HISTORY + 5):
        board.begin("app-2", _build, "app-1")
    kept = board.history()
    assert [each["number"] for each in kept] == list(range(5, KEPT_HISTORY + 5))
    assert len(os.listdir(tmp_path / "=history" / "=app")) == KEPT_HISTORY
    late = Rollout(app="app", number=1, release="app-1")
    board.keep(late, "done")  # by one that slept: it is older than what is kept
    assert board.history() == kept


def test_an_end_that_was_not_kept_is_kept_by_the_next_rollout() -> None:
    """Who wrote it died before the history had it, or did not get the answer."""
    coordinator = MemoryCoordinator()
    board = Board(coordinator, "app", now=lambda: 0.0, complain=pytest.fail)
    board.begin("app-1", _build, "")
    board.cue(Cue.FINISH, "2 of 2 hosts")
    done, version = board.rollout()
    assert done is not None
    board.write(replace(done, settled=True), expected=version)
    [key] = coordinator.read_all("history/app")
    kept = coordinator.read(key)
    assert kept is not None
    coordinator.remove(key, expected=kept.version)
    board.begin("app-2", _build, "")
    told = [(each["number"], each["outcome"]) for each in board.history()]
    assert told == [(1, "done")]


def test_who_writes_in_another_format_is_named_once() -> None:
    """Not with each of its words: a newer agent says one every 30 s."""
    complaints: list[str] = []
    coordinator = MemoryCoordinator()
    board = Board(coordinator, "app", now=lambda: 0.0, complain=complaints.append)
    version = 0
    for word in range(5):
        newer = (
            b'{"format": 2, "kind": "host", "sha256": "", "value": {"n": %d}}' % word
        )
        version = coordinator.write("hosts/app/b", newer, expected=version).version
        assert board.reports() == {}
    assert len(complaints) == 1
    coordinator.write("hosts/app/b", b"?", expected=version)
    board.reports()
    assert len(complaints) == 2
