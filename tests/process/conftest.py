"""What tests with real processes share."""

from __future__ import annotations

import pytest

from rig.declared import Declared
from rig.host import Host


@pytest.fixture
def declared(host: Host) -> Declared:
    """Return a directory for declarations."""
    return Declared(host)
