"""A load balancer in front of a fleet, configured by `gapless balancer`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rig import wait
from rig.fleets.fleet import APP, Fleet
from rig.programs.balancer import serving_balancer


@contextmanager
def run_balancer(fleet: Fleet, name: str) -> Iterator[int]:
    """Run nginx or HAProxy in front of a fleet until the block ends; yield its port."""
    port = wait.free_port()
    wait.until(fleet.is_addressed, "every host's address to be known", 60)
    written = fleet.publisher.ok("balancer", name, APP, f"--listen=127.0.0.1:{port}")
    with serving_balancer(fleet.directory, name, written, port):
        yield port
