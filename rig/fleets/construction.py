"""The machines of a fleet, in network namespaces where those are allowed."""

from __future__ import annotations

from pathlib import Path

from rig import wait
from rig.fleets.member import Member
from rig.hosts.host import Host
from rig.hosts.network import Network
from rig.programs.etcd import Location
from rig.programs.etcd_cluster import EtcdCluster

APP_PORT, HEALTH_PORT = 3000, 3001
"""The ports on every host with a namespace of its own."""


def make_member(
    host: Host, number: int, network: Network, *, health_endpoint: bool
) -> Member:
    """Make a member s0, s1, ...; set HOST, PORT and HOST_NAME in its environment."""
    real = network.is_real
    port = APP_PORT if real else wait.free_port()
    member = Member(host, f"s{number}", number, network, port)
    if health_endpoint:
        member.health_port = HEALTH_PORT if real else wait.free_port()
    host.environment |= {
        "HOST": member.address,
        "PORT": str(port),
        "HOST_NAME": member.name,
    }
    return member


def start_etcd(
    directory: Path, network: Network, first: int, count: int
) -> EtcdCluster:
    """Start etcd on *count* hosts of a network, from the host with the number *first*.

    If it does not start, the network is closed as well.
    """
    locations = [
        Location(address=network.address(n), command_prefix=network.command_prefix(n))
        for n in range(first, first + count)
    ]
    cluster = EtcdCluster(directory, count, locations=locations)
    try:
        return cluster.start()
    except AssertionError:
        cluster.close()
        network.close()
        raise


def make_link(www: Path, target: Path) -> None:
    """Make a link to *target* in a directory www, and a directory for logs beside it."""
    (www / "log").mkdir(parents=True, exist_ok=True)
    link = www / target.name
    if not link.is_symlink():
        link.symlink_to(target)
