"""Open the coordinator and the store of a fleet, as the configuration says."""

from __future__ import annotations

from gapless.base import clock
from gapless.config.toml.fleets import Fleet
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.coordinator.etcd import EtcdCoordinator
from gapless.coordinator.model import Coordinator
from gapless.rollout.record_reader import Complain
from gapless.rollout.store import FleetStore


def open_coordinator(fleet: Fleet, complain: Complain) -> Coordinator:
    """Return the coordinator of a fleet.  It is not asked yet, and may be away."""
    if fleet.etcd is not None:
        return EtcdCoordinator(fleet.etcd, complain)
    return DirectoryCoordinator(fleet.directory, complain)


def open_store(fleet: Fleet, complain: Complain) -> FleetStore:
    """Return the records that the fleet of an app shares."""
    return FleetStore(
        open_coordinator(fleet, complain),
        fleet.release.app,
        now=clock.boottime,
        complain=complain,
    )
