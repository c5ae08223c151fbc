"""The decisions over 5,000 hosts with seeded faults; the simulation asserts invariants."""

from __future__ import annotations

import pytest

from gapless.rollout.model import State
from gapless.rollout.policy import Policy
from rig.matrix import times
from rig.simulation import Simulation

FLEET = Policy(
    slots="3%", canary=("h00007",), bake_s=30, waves=("4%", "20%"), min_healthy_s=5
)
MORE_SEEDS = [pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 10)]


@pytest.mark.parametrize("hosts", times(400, 5000))
@pytest.mark.parametrize("seed", [0, *MORE_SEEDS])
def test_a_large_fleet_arrives(seed: int, hosts: int) -> None:
    """Although hosts die, pause and are cut off; never more change than there are slots."""
    simulation = Simulation(seed, hosts, FLEET)
    assert simulation.run().state is State.DONE
    assert 1 < simulation.most_acting <= 150
    assert simulation.late_acts_refused, "no host was late: nothing was shown"


@pytest.mark.parametrize("seed", [0, *MORE_SEEDS])
def test_a_release_that_fails_in_the_second_wave_is_taken_back(seed: int) -> None:
    """The host that fails meets no other fault, so it is there to fail with every seed."""

    def failing(name: str) -> bool:
        return name == "h00300"

    rollout = Simulation(seed, 700, FLEET, failing=failing).run()
    assert rollout.state is State.REVERTED
    assert rollout.reason == "h00300 failed"


@pytest.mark.parametrize("seed", range(40))
def test_small_fleets_with_many_faults(seed: int) -> None:
    """One turn in three meets a fault; the rollout is done all the same."""
    policy = Policy(slots="2", min_healthy_s=3)
    simulation = Simulation(seed, 12, policy, fault=0.35)
    assert simulation.run().state is State.DONE
    assert simulation.most_acting <= 2
