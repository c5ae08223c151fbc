"""Fixtures of tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.fixtures.declarations import Declarations
from rig.fleets.fleet import Fleet, MakeFleet
from rig.hosts.host import Host
from rig.hosts.keeper_line import KeeperLine


@pytest.fixture
def declared(host: Host) -> Declarations:
    """Return the declarations of the host."""
    return Declarations(host)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperLine]:
    """Return a keeper and the line to it."""
    line = KeeperLine(tmp_path / "home")
    try:
        yield line
    finally:
        line.close()
    assert line.errors() == ""


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[MakeFleet]:
    """Return a function that makes fleets; each is closed after the test."""
    fleets: list[Fleet] = []

    def made(**how: Any) -> Fleet:
        fleets.append(Fleet(tmp_path, **how))
        return fleets[-1]

    try:
        yield made
    finally:
        for fleet in fleets:
            fleet.close()
