"""A fleet of one host, whose agent takes its steps when the test says so."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from gapless.agent.follower import Follower
from gapless.agent.open_store import open_store
from gapless.agent.publisher import FleetPublisher
from gapless.cli import configuration
from gapless.client import Client
from gapless.rollout.model import Phase, State
from rig.background import BackgroundProcess
from rig.crash.publisher.site import Site
from rig.hosts.host import Host
from rig.wait import until

READ = """\
            version = open("VERSION").read()
            body = f"release {version} to its end\\n".encode()
            connection."""
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

    def serves(self, version: int) -> bool:
        """Return whether the host serves a release."""
        return bool(
            self.site.host.row("shop")["release"] == self.site.path_of(version).name
        )

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


def test_a_release_is_kept_while_an_old_generation_runs_from_it(host: Host) -> None:
    """Two rollouts go over a long request, since the agent starts anew; it ends whole."""
    site = Site(host, releases=1)
    config = host.directory / "gapless.toml"
    text = config.read_text().replace("keep = 9999", "keep = 1")
    config.write_text(
        text.replace("min_healthy", "stop.drain_timeout_s = 300\nmin_healthy")
    )
    program = (site.path_of(1) / "app.py").read_text()
    program = program.replace("settimeout(5)", "settimeout(60)")
    program = program.replace("            connection.sendall", f"{READ}sendall")
    (site.path_of(1) / "app.py").write_text(program)
    host.ok("reload", "shop")
    fleet = FleetOfOne(host, site, "min_healthy_s = 0.1\nslot_ttl_s = 1")
    agent = BackgroundProcess(host.directory / "agent.log")
    try:
        with socket.create_connection(("127.0.0.1", site.port)) as request:
            request.sendall(b"GET / HTTP/1.1\r\n")
            for version in (2, 3):
                site.add_release()
                fleet.begin(version)
                for is_there in (
                    lambda v=version: fleet.serves(v),
                    lambda: fleet.state() is State.DONE,
                ):
                    host.start_in_background(agent, "agent", "--host", "a")
                    until(is_there, f"release {version}: {agent.output()}", 60)
                    agent.kill()  # or its turn would last as long as the request
                assert fleet.publisher.finalize()
            request.sendall(b"\r\n\r\n")
            answer = request.makefile("rb").read()
        assert answer.endswith(b"release 1 to its end\n"), agent.output()
    finally:
        agent.kill()
    until(lambda: len(host.app("shop")["generations"]) == 1, "the old ones to end", 30)
    fleet.follower.step()
    site.add_release()
    fleet.begin(4)
    fleet.follower.step()
    fleet.follower.step()
    assert fleet.publisher.finalize()
    left = [site.path_of(version).is_dir() for version in (1, 2, 3, 4)]
    assert left == [False, False, True, True]
