"""What the end of a rollout means for its release and for those before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.agent.finalizer import UnseenError
from gapless.coordinator.model import ABSENT
from gapless.releases import current
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
