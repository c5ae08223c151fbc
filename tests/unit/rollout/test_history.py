"""The history: how the last rollouts of an app ended."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.coordinator.directory import DirectoryCoordinator
from gapless.coordinator.memory import MemoryCoordinator
from gapless.rollout.history import KEPT
from gapless.rollout.model import Action, Rollout
from gapless.rollout.store import FleetStore


def _build(number: int, previous: str) -> Rollout:
    return Rollout(
        app="app",
        number=number,
        release=f"app-{20260101000000 + number}",
        previous=previous,
    )


def test_history_tells_how_rollouts_ended() -> None:
    """One was superseded, the next one is done."""
    store = FleetStore(MemoryCoordinator(), "app", now=lambda: 0.0, complain=print)

    def build(number: int, previous: str) -> Rollout:
        name = f"app-{20260101000001 + number}"
        return Rollout(app="app", number=number, release=name, previous=previous)

    for name in ("app-20260101000002", "app-20260101000003"):
        store.begin(name, build, "app-20260101000001")
    store.apply(Action.FINISH, "4 of 4 hosts")
    outcomes = [(each["number"], each["outcome"]) for each in store.history.read()]
    assert outcomes == [(1, "superseded by 2"), (2, "done")]


def test_history_has_an_end_and_so_many_keys(tmp_path: Path) -> None:
    """A key that was removed leaves something behind, so keys are used again."""
    shared = DirectoryCoordinator(str(tmp_path), pytest.fail)
    store = FleetStore(shared, "app", now=lambda: 0.0, complain=pytest.fail)
    for _ in range(KEPT + 5):
        store.begin("app-20260101000002", _build, "app-20260101000001")
    kept = store.history.read()
    assert [each["number"] for each in kept] == list(range(5, KEPT + 5))
    assert len(os.listdir(tmp_path / "=history" / "=app")) == KEPT
    late = Rollout(app="app", number=1, release="app-20260101000001")
    store.archive(late, "done")  # by an agent that slept: newer ones have all keys
    assert store.history.read() == kept


def test_an_end_that_was_not_archived_is_archived_by_the_next_rollout() -> None:
    """The agent that wrote the end died before it archived it, or got no answer."""
    coordinator = MemoryCoordinator()
    store = FleetStore(coordinator, "app", now=lambda: 0.0, complain=pytest.fail)
    store.begin("app-20260101000001", _build, "")
    store.apply(Action.FINISH, "2 of 2 hosts")
    done, version = store.rollout()
    assert done is not None
    store.write_rollout(replace(done, settled=True), expected=version)
    [key] = coordinator.read_all("history/app")
    kept = coordinator.read(key)
    assert kept is not None
    coordinator.remove(key, expected=kept.version)
    store.begin("app-20260101000002", _build, "")
    outcomes = [(each["number"], each["outcome"]) for each in store.history.read()]
    assert outcomes == [(1, "done")]
