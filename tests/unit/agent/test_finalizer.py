"""What the end of a rollout means for its release and for those before."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.agent.finalizer import UnseenError
from gapless.base import clock
from gapless.coordinator.model import ABSENT
from gapless.releases import current, publisher_lock
from gapless.releases.inbox import claims
from gapless.releases.model import Release
from gapless.rollout.model import Action, HostReport, Phase
from gapless.rollout.policy import Policy
from tests.unit.agent.test_publisher import Place


def failures(place: Place) -> list[str]:
    """Return why each release failed, oldest first."""
    return [each.failure for each in current.releases(place.spec)]


@pytest.mark.parametrize("holds", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_release_has_failed_if_hosts_could_not_run_it(
    tmp_path: Path, *, fails: bool, holds: bool
) -> None:
    """Not if an operator turned it back; and what is done later has not failed."""
    place = Place(tmp_path)
    first, second = place.release(1), place.release(2)
    for release in (first, second):
        place.publisher().rollback(release.name)
        place.store.apply(Action.FINISH, "1 of 1 hosts")
        place.publisher().finalize()
    begun = place.publisher().rollback(first.name)
    phase = Phase.FAILED if fails else Phase.WATCHING
    report = HostReport(host="a", release=first.name, turn=begun.turn, phase=phase)
    place.store.hosts.write(report, ABSENT)
    seen = begun if fails else None
    if holds:
        assert place.store.apply(Action.HOLD, "a failed: why", seen=seen)
        seen = None
    assert place.store.apply(Action.REVERT, "a failed: why", seen=seen)
    assert place.store.apply(Action.FINISH, "a failed: why", seen=place.rollout())
    place.publisher().finalize()
    assert failures(place) == ["a failed: why" if fails else "", ""]
    place.publisher().rollback(first.name)
    place.store.apply(Action.FINISH, "1 of 1 hosts")
    place.publisher().finalize()
    assert failures(place) == ["", ""]


def test_a_failure_is_forgotten_when_hosts_try_again(tmp_path: Path) -> None:
    """They were held for it; after `resume` the operator turns back what went well."""
    place = Place(tmp_path)
    first, second = place.release(1), place.release(2)
    current.flip(place.spec, first)
    begun = place.publisher().rollback(second.name)
    report = HostReport(host="a", turn=begun.turn, phase=Phase.FAILED)
    place.store.hosts.write(report, ABSENT)
    place.store.apply(Action.HOLD, "a failed: why", seen=begun)
    assert place.rollout().failure == "a failed: why"
    place.store.apply(Action.RESUME, "resume by hand")
    place.store.apply(Action.REVERT, "abort by hand")
    place.store.apply(Action.FINISH, "abort by hand", seen=place.rollout())
    place.publisher().finalize()
    assert failures(place) == ["", ""]


def test_a_release_that_is_not_seen_yet_is_waited_for(tmp_path: Path) -> None:
    """An NFS client sees it late: the link is flipped and the hook has run all the same."""
    place = Place(tmp_path)
    first, second = place.release(1), place.release(2)
    current.flip(place.spec, first)
    publisher = place.publisher()
    publisher.rollback(second.name)
    place.store.apply(Action.FINISH, "1 of 1 hosts")
    os.rename(second.path, tmp_path / "unseen")
    with pytest.raises(UnseenError, match=f"{second.name} is not seen in"):
        publisher.finalize()
    assert not place.rollout().settled
    os.rename(tmp_path / "unseen", second.path)
    assert publisher.finalize()
    assert current.current_path(place.spec) == second.path
    assert place.hooks() == [second.name]


def _ended(place: Place) -> Release:
    """Let a rollout end whose release is not seen any more; return the release."""
    first, second = place.release(1), place.release(2)
    current.flip(place.spec, first)
    place.publisher().rollback(second.name)
    place.store.apply(Action.FINISH, "1 of 1 hosts")
    os.rename(second.path, place.base / "unseen")
    return second


def test_the_time_to_wait_for_a_release_passes_between_publishers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run of cron has its own; a clock that went back begins anew."""
    place = Place(tmp_path)
    _ended(place)
    begin = clock.wall()
    for later_s in (0, 250, -100, 150):
        monkeypatch.setattr(clock, "wall", lambda now=begin + later_s: now)
        with pytest.raises(UnseenError):
            place.publisher().finalize()
        claims.clean_up(place.spec)  # as each publish does
    monkeypatch.setattr(clock, "wall", lambda: begin + 201)
    assert place.publisher().finalize()
    assert place.rollout().settled


def test_a_release_that_is_seen_in_between_is_waited_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One publisher, whose hook cannot be told: hours later it is not settled at once."""
    place = Place(tmp_path)
    second = _ended(place)
    publisher, begin = place.publisher(), clock.wall()
    with pytest.raises(UnseenError):
        publisher.finalize()
    os.rename(place.base / "unseen", second.path)
    with monkeypatch.context() as patch:
        patch.setattr(current, "flip", _fail)
        with pytest.raises(OSError, match="no room"):
            publisher.finalize()
    os.rename(second.path, place.base / "unseen")
    monkeypatch.setattr(clock, "wall", lambda: begin + 9999)
    monkeypatch.setattr(clock, "monotonic", lambda: begin + 9999)
    with pytest.raises(UnseenError):
        publisher.finalize()
    assert not place.rollout().settled


def _fail(*_: object) -> None:
    raise OSError("no room")


@pytest.mark.parametrize("publishes", [True, False])
def test_nobody_holds_the_lock_of_publishers_while_a_release_is_not_seen(
    tmp_path: Path, *, publishes: bool
) -> None:
    """Another publisher makes its release meanwhile; what was made is not made again."""
    place = Place(tmp_path)
    place.spec = replace(place.spec, build=())
    second = _ended(place)
    publisher = place.publisher()
    is_free: list[bool] = []

    def take(step: str, _: str) -> None:
        if step == "waiting":
            is_free.append(not publisher_lock.is_busy(place.spec))
            os.rename(place.base / "unseen", second.path)

    place.steps = _Steps(take)
    if publishes:
        with tarfile.open(tmp_path / "app.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("index.js"), io.BytesIO())
        assert publisher.publish(str(tmp_path / "app.tar")).number == 2
        assert len(current.releases(place.spec)) == 3
    else:
        assert publisher.rollback(place.release(3).name).number == 2
    assert is_free == [True]


class _Steps(list[tuple[str, str]]):
    """Steps that are told to a function as well."""

    def __init__(self, take: Callable[[str, str], None]) -> None:
        super().__init__()
        self._take = take

    def append(self, step: tuple[str, str]) -> None:
        """Add a step."""
        super().append(step)
        self._take(*step)


def test_a_release_that_was_removed_by_hand_holds_nothing_up(tmp_path: Path) -> None:
    """After the time that hosts would wait for it the rollout has ended all the same."""
    place = Place(tmp_path)
    first, second = place.release(1), place.release(2)
    current.flip(place.spec, first)
    publisher = place.publisher()
    publisher.rollback(second.name)
    before, version = place.store.rollout()
    assert before
    quick = replace(before, policy=Policy(fetch_timeout_s=0.2))
    place.store.write_rollout(quick, expected=version)
    place.store.apply(Action.FINISH, "1 of 1 hosts")
    os.rename(second.path, tmp_path / "removed")
    assert publisher.rollback(first.name).number == 2
    assert "waiting" in dict(place.steps)
    assert place.hooks() == []
    assert current.current_path(place.spec) == first.path
