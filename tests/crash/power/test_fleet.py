"""Power is lost at any moment of what a fleet writes down: no version is used again."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.matrix import times
from rig.power import moments
from rig.power.fleet import FleetRecords


@pytest.mark.parametrize("seeds", times(1, 50))
def test_what_a_fleet_was_told_outlives_a_loss_of_power(
    tmp_path: Path, seeds: int
) -> None:
    """A copy is whole or not there, versions are not used again, numbers only rise."""
    fleet = FleetRecords(tmp_path)
    faults = moments.faults(
        fleet.recording, fleet.faults, lambda _: [], most=0, seeds=seeds
    )
    assert not faults, "\n".join(faults)
