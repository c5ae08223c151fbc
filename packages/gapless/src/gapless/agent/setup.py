"""What the configuration says, opened: the coordinator, the board, this host's releases."""

from __future__ import annotations

import dataclasses
import os
import socket

from gapless.base import clock
from gapless.base.errors import MisuseError
from gapless.config.toml.fleets import Fleet
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.coordinator.etcd import EtcdCoordinator
from gapless.coordinator.model import Coordinator, check_key
from gapless.releases.model import ReleaseSpec
from gapless.rollout.board import Board, Complain


def coordinator(fleet: Fleet, complain: Complain) -> Coordinator:
    """Return the coordinator of a fleet.  It is asked later, and may be away."""
    if fleet.etcd is not None:
        return EtcdCoordinator(fleet.etcd)
    return DirectoryCoordinator(fleet.directory, complain)


def board(fleet: Fleet, complain: Complain) -> Board:
    """Return what the fleet of an app knows in common."""
    return Board(
        coordinator(fleet, complain),
        fleet.release.app,
        now=clock.boottime,
        complain=complain,
    )


def host_name(said: str = "") -> str:
    """Return what this host is called in its fleets.  Raises MisuseError."""
    name = said or os.environ.get("GAPLESS_HOST") or socket.gethostname()
    try:
        return check_key(name)
    except MisuseError:
        raise MisuseError(
            f"{name!r} cannot name a host", hint="gapless agent --host NAME"
        ) from None


def own_releases(fleet: Fleet) -> ReleaseSpec:
    """Return where this host runs its releases from: shared, or copies of its own."""
    if not fleet.copy:
        return fleet.release
    os.makedirs(f"{fleet.copy}/dist", exist_ok=True)
    return dataclasses.replace(fleet.release, base=fleet.copy)
