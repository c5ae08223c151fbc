"""A fleet of one host, whose agent takes its steps when the test says so."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gapless.agent.follower import Follower
from gapless.agent.open_store import open_store
from gapless.agent.publisher import FleetPublisher
from gapless.cli import configuration
from gapless.client import Client
from gapless.rollout.model import Phase, State
from rig.crash.publisher.site import Site
from rig.hosts.host import Host
from rig.wait import until

WAITS = """
import os, select
while not os.path.exists("../../open"):
    select.select([], [], [], 0.05)
"""


class FleetOfOne:
    """A release server and an agent on one host."""

    def __init__(self, host: Host, site: Site, policy: str = "") -> None:
        self.site, self.said = site, list[str]()
        config = host.directory / "gapless.toml"
        config.write_text(f"{config.read_text()}\n[rollout.shop]\n{policy}\n")
        self.fleet = configuration.fleet(str(config), "shop")
        self.store = open_store(self.fleet, pytest.fail)
        self.publisher = FleetPublisher(self.fleet, self.store, lambda *_: None)
        client = Client(str(host.home))
        self.follower = Follower(self.fleet, self.store, client, "a", self.said.append)

    def begin(self, version: int) -> None:
        """Begin the rollout to a release."""
        self.publisher.rollback(self.site.path_of(version).name)

    def step(self) -> threading.Thread:
        """Let the agent take a step, in a thread."""
        thread = threading.Thread(target=self.follower.step, daemon=True)
        thread.start()
        return thread

    def state(self) -> State:
        """Return the state of the rollout."""
        rollout, _ = self.store.rollout()
        assert rollout is not None
        return rollout.state


@pytest.mark.parametrize("phase", [Phase.CHANGING, Phase.WATCHING])
def test_a_stop_by_hand_is_no_failure_of_a_release(host: Host, phase: Phase) -> None:
    """The rollout goes on without the host, and is not held or turned back for it."""
    site = Site(host, releases=2)
    fleet = FleetOfOne(host, site, "min_healthy_s = 60")
    if phase is Phase.CHANGING:
        program = site.path_of(1) / "app.py"
        program.write_text(WAITS + program.read_text())
    fleet.begin(1)
    turn = fleet.step()

    def is_at_work() -> Any:
        report = fleet.follower.report
        if phase is Phase.WATCHING:
            return report.phase is phase
        roles = [each["role"] for each in host.app("shop")["generations"]]
        return "trial" in roles

    until(is_at_work, f"the host to be {phase.value}", 30)
    host.ok("stop", "shop")
    turn.join(30)
    assert not turn.is_alive()
    assert fleet.follower.report.phase is not Phase.FAILED, fleet.said
    fleet.follower.step()
    assert fleet.follower.report.phase is Phase.STOPPED
    assert fleet.state() is State.ROLLING
