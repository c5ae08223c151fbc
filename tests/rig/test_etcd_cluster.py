"""The rig's etcd of three members survives the loss of one, on both kinds of network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.coordinator.etcd import EtcdCoordinator
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.coordinator.model import ABSENT
from rig.hosts.network import Network
from rig.programs.etcd import Location
from rig.programs.etcd_cluster import EtcdCluster

COUNT = 3


@pytest.fixture(params=["loopback", "namespaces"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdCluster]:
    """Run three members; where namespaces are not allowed both kinds are loopback."""
    network = Network(COUNT) if request.param == "namespaces" else None
    locations = [
        Location(address=network.address(n), command_prefix=network.command_prefix(n))
        for n in range(COUNT)
        if network
    ]
    found = EtcdCluster(tmp_path / "etcd", COUNT, locations=locations)
    try:
        yield found.start()
    finally:
        found.close()
        if network is not None:
            network.close()


def test_two_of_three_members_go_on(cluster: EtcdCluster) -> None:
    """The leader dies and another is elected; the dead one returns with every write."""
    leader = cluster.leader()
    own = EtcdCoordinator(EtcdSettings(endpoints=cluster.urls))
    entry = own.write("a/b", b"1", expected=ABSENT)
    cluster.kill(leader)
    assert cluster.leader() != leader
    entry = own.write("a/b", b"2", expected=entry.version)
    cluster.restart(leader)
    returned = EtcdCoordinator(EtcdSettings(endpoints=(cluster.urls[leader],)))
    assert returned.read("a/b") == entry
