"""The rig's etcd of three members lives through the loss of one, on both networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.coordinator.etcd import EtcdCoordinator
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.coordinator.model import ABSENT
from rig.hosts.network import Network
from rig.programs.etcd import Cluster, Place

COUNT = 3


@pytest.fixture(params=["loopback", "namespaces"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Run three members; where namespaces are not allowed both kinds are loopback."""
    network = Network(COUNT) if request.param == "namespaces" else None
    places = [
        Place(network.address(n), network.inside(n)) for n in range(COUNT) if network
    ]
    found = Cluster(tmp_path / "etcd", COUNT, places=places)
    try:
        yield found.start()
    finally:
        found.close()
        if network is not None:
            network.close()


def test_two_of_three_members_go_on(cluster: Cluster) -> None:
    """The leader dies, another is elected, and the dead one returns and has it all."""
    leader = cluster.leader()
    own = EtcdCoordinator(EtcdSettings(endpoints=cluster.urls))
    entry = own.write("a/b", b"1", expected=ABSENT)
    cluster.kill(leader)
    assert cluster.leader() != leader
    entry = own.write("a/b", b"2", expected=entry.version)
    cluster.restart(leader)
    returned = EtcdCoordinator(EtcdSettings(endpoints=(cluster.urls[leader],)))
    assert returned.read("a/b") == entry
