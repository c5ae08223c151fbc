"""Power is lost at any moment of what a fleet writes down: no version is used again."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.power import moments
from rig.power.fleet import FleetRecords


@pytest.mark.parametrize(
    ("seeds", "is_short"),
    [
        pytest.param(1, True, id="short"),
        pytest.param(50, False, id="long", marks=pytest.mark.soak),
    ],
)
def test_what_a_fleet_was_told_outlives_a_loss_of_power(
    tmp_path: Path, seeds: int, *, is_short: bool
) -> None:
    """A copy is whole or not there, versions are not used again, numbers only rise."""
    fleet = FleetRecords(tmp_path)
    faults = moments.faults(
        fleet.recording, fleet.faults, most=0, is_short=is_short, seeds=seeds
    )
    assert not faults, "\n".join(faults)


@pytest.mark.soak
def test_without_any_sync_all_of_it_can_be_lost(tmp_path: Path) -> None:
    """So the tests of this folder do find what is not synced."""
    fleet = FleetRecords(tmp_path, syncs=False)
    faults = "\n".join(
        moments.faults(fleet.recording, fleet.faults, most=0, is_short=False)
    )
    for fact in ("rollout", "report", "trusted", "copy", "outcome"):
        assert f": {fact}: " in faults
