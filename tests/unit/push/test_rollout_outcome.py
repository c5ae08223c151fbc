"""What the state of a rollout means for the outcome of its upload."""

from __future__ import annotations

import dataclasses

import pytest

from gapless.push.outcome import Outcome, Stage, summary
from gapless.push.rollout_outcome import next_outcome
from gapless.rollout.model import HostReport, Phase, Rollout, State

ROLLING = Outcome(
    upload="shop-1.tar.gz", app="shop", stage=Stage.ROLLING, release="shop-1", rollout=3
)
ROLLOUT = Rollout(app="shop", number=3, release="shop-1", previous="shop-0")
HOSTS = {
    "a": HostReport(host="a", release="shop-1", turn=(3, 1), phase=Phase.DONE),
    "b": HostReport(host="b", release="shop-0", turn=(3, 1), phase=Phase.WAITING),
}


def test_hosts_are_counted_while_it_rolls() -> None:
    """One of two hosts runs the release."""
    found = next_outcome(ROLLING, ROLLOUT, HOSTS, [])
    assert (found.stage, found.hosts_done, found.hosts) == (Stage.ROLLING, 1, 2)
    assert "1 of 2 hosts updated" in summary(found)


@pytest.mark.parametrize(
    ("state", "settled", "stage"),
    [
        (State.ROLLING, False, Stage.ROLLING),
        (State.DONE, False, Stage.ROLLING),
        (State.DONE, True, Stage.DONE),
        (State.HELD, False, Stage.HELD),
        (State.REVERTING, False, Stage.REVERTING),
        (State.REVERTED, False, Stage.REVERTING),
        (State.REVERTED, True, Stage.REVERTED),
        (State.STUCK, False, Stage.STUCK),
    ],
)
def test_only_what_is_settled_is_told_as_the_end(
    state: State, *, settled: bool, stage: Stage
) -> None:
    """Done and reverted wait for the link and the hook; held and stuck do not."""
    rollout = dataclasses.replace(ROLLOUT, state=state, settled=settled)
    assert next_outcome(ROLLING, rollout, HOSTS, []).stage is stage


def test_what_is_in_the_way_of_the_end_is_told() -> None:
    """The detail is the text of the trouble."""
    rollout = dataclasses.replace(ROLLOUT, state=State.DONE)
    assert (
        next_outcome(ROLLING, rollout, HOSTS, [], "no symlink").detail == "no symlink"
    )


def test_a_host_that_failed_says_why() -> None:
    """The reason of a held rollout is the detail."""
    rollout = dataclasses.replace(ROLLOUT, state=State.HELD, reason="b failed: it died")
    assert next_outcome(ROLLING, rollout, HOSTS, []).detail == "b failed: it died"


def test_hosts_that_failed_in_a_rollout_that_is_done_are_named() -> None:
    """By `max_failures` it is done all the same; that they were left is not hidden."""
    failed = {
        name: dataclasses.replace(
            HOSTS["b"], host=name, phase=Phase.FAILED, reason="it was never ready"
        )
        for name in "bcdef"
    }
    rollout = dataclasses.replace(
        ROLLOUT, state=State.DONE, settled=True, reason="1 of 6 hosts"
    )
    found = next_outcome(ROLLING, rollout, {"a": HOSTS["a"]} | failed, [])
    assert (found.stage, found.hosts_done, found.hosts) == (Stage.DONE, 1, 6)
    assert found.detail == (
        "1 of 6 hosts; failed on b (shop-0 runs), c (shop-0 runs), d (shop-0 runs) and 2 "
        "more: it was never ready; `gapless rollout resume shop` tries again there"
    )
    tried_again = dataclasses.replace(rollout, attempt=2)
    assert next_outcome(ROLLING, tried_again, failed, []).detail == "1 of 6 hosts"


@pytest.mark.parametrize(
    ("ended", "stage"),
    [
        ("done", Stage.DONE),
        ("reverted", Stage.REVERTED),
        ("superseded by 4", Stage.SUPERSEDED),
    ],
)
def test_what_ended_between_two_looks_is_found_in_the_history(
    ended: str, stage: Stage
) -> None:
    """The newest rollout is another one."""
    history = [{"number": 3, "outcome": ended, "reason": ""}]
    later = dataclasses.replace(ROLLOUT, number=4)
    assert next_outcome(ROLLING, later, HOSTS, history).stage is stage


def test_what_another_took_the_place_of_is_told_alike_before_it_is_history() -> None:
    """The history is written after the newer rollout."""
    later = dataclasses.replace(ROLLOUT, number=4)
    kept = [{"number": 3, "outcome": "superseded by 4", "reason": ""}]
    found = next_outcome(ROLLING, later, HOSTS, [])
    assert found == next_outcome(ROLLING, later, HOSTS, kept)
    assert found.detail == "superseded by 4"
