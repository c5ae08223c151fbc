"""What tests with real processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.hosts.fleet import Fleet, MakeFleet
from rig.hosts.host import Host
from rig.programs.declared import Declared


@pytest.fixture
def declared(host: Host) -> Declared:
    """Return a directory for declarations."""
    return Declared(host)


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[MakeFleet]:
    """Make a fleet that is gone after the test."""
    fleets: list[Fleet] = []

    def made(**how: Any) -> Fleet:
        fleets.append(Fleet(tmp_path, **how))
        return fleets[-1]

    try:
        yield made
    finally:
        for fleet in fleets:
            fleet.close()
