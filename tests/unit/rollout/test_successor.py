"""Which release a rollout goes back to that takes the place of another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gapless.rollout import decide
from gapless.rollout.model import HostReport, Phase, Rollout, State

R0, R1, R2, R3 = (f"app-2026010100000{number}" for number in range(4))
ROLLBACK = Rollout(app="app", number=3, release=R1, previous=R2)
FAILED = HostReport(host="a", release=R2, phase=Phase.FAILED, turn=(3, 1))
OTHER = HostReport(host="b", release=R1, phase=Phase.DONE, turn=(3, 1))


@pytest.mark.parametrize("state", [State.ROLLING, State.HELD, State.DONE])
def test_a_release_after_a_rollback_goes_back_to_where_that_went(state: State) -> None:
    """Not to the release that the rollback leaves, done or not."""
    before = replace(ROLLBACK, state=state)
    assert decide.successor(before, R3, R2) == (4, R1)


@pytest.mark.parametrize("state", [State.REVERTING, State.STUCK, State.REVERTED])
def test_a_rollback_that_was_itself_taken_back_is_no_way_back(state: State) -> None:
    """Hosts run the release that it wanted to leave, or are on their way there."""
    assert decide.successor(replace(ROLLBACK, state=state), R3, "") == (4, R2)


def test_a_rollback_whose_release_failed_on_a_host_is_no_way_back() -> None:
    """Whether or not it is held for that."""
    reports = [FAILED, OTHER]
    resumed = replace(ROLLBACK, attempt=2)
    assert decide.successor(resumed, R3, "", reports) == (4, R2)
    of_the_one_before = [replace(FAILED, turn=(2, 1))]
    assert decide.successor(ROLLBACK, R3, "", of_the_one_before) == (4, R1)


def test_a_rollback_of_a_rollback() -> None:
    """To an earlier release, or to the one that was left."""
    assert decide.successor(ROLLBACK, R0, "") == (4, R1)
    assert decide.successor(ROLLBACK, R2, "") == (4, R1)
    earlier = replace(ROLLBACK, number=4, release=R0, previous=R1)
    assert decide.successor(earlier, R3, "") == (5, R0)
    # Forward again, to what was left: that is not known to be good.
    onward = replace(ROLLBACK, number=4, release=R2, previous=R1)
    assert decide.successor(onward, R3, "") == (5, R1)
