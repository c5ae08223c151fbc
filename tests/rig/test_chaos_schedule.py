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
def test_each_round_has_everything(seed: int) -> None:
    """No fault and no change is left out for long."""
    count = len(Fault)
    for steps in (
        list(itertools.islice(schedule.draw(seed), at, at + count))
        for at in (0, count, 2 * count)
    ):
        assert {step.fault for step in steps} == set(Fault)
        assert {step.change for step in steps} == set(Change)
