"""The steps of a chaos are values that a seed draws, the same each time."""

from __future__ import annotations

import itertools

import pytest

from rig.chaos import schedule
from rig.chaos.schedule import Change, Fault


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_draws_the_same_steps(seed: int) -> None:
    """A failed run can be played again, whatever played before it."""
    first = list(itertools.islice(schedule.draw(seed), 40))
    assert list(itertools.islice(schedule.draw(seed), 40)) == first
    assert list(itertools.islice(schedule.draw(seed + 1), 40)) != first


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_left_out(seed: int) -> None:
    """A round has every fault once, and releases where one asks for them."""
    round_ = len(Fault) + len(schedule.COSTS_INTERCEPTION) * len(schedule.APPS)
    steps = list(itertools.islice(schedule.draw(seed), 2 * round_))
    for half in (steps[:round_], steps[round_:]):
        assert {step.fault for step in half} == set(Fault)
    assert {step.change for step in steps} == set(Change)
    for at, step in enumerate(steps):
        if step.fault in schedule.COSTS_INTERCEPTION:
            assert step.change is Change.NOTHING
            released = [
                each.app for each in steps[at + 1 : at + 1 + len(schedule.APPS)]
            ]
            assert released == list(schedule.APPS)
