"""What keys of the screen and buttons of the page do to a real fleet, and show of it."""

from __future__ import annotations

from typing import Any

import pytest

from gapless.agent.open_store import open_store
from gapless.base.errors import MisuseError
from gapless.cli import configuration, deeds
from gapless.cli.fleet import page_rollouts
from gapless.cli.tui import fleet_feed
from gapless.client import Client
from gapless.rollout.model import Action
from gapless.web.deeds import Deed
from rig import wait
from rig.fixtures.web_page import begin_rollouts
from rig.fleets.fleet import APP, MakeFleet
from rig.hosts.host import Host


def test_a_page_that_shows_an_earlier_release_begins_no_rollout(host: Host) -> None:
    """Somebody else has rolled back: another rollback would be one too far."""
    store = begin_rollouts(host)
    config = str(host.directory / "gapless.toml")
    seen = Deed(action="rollback", app="shop", release="shop-20260101000003")
    with pytest.raises(MisuseError, match="rollout 2 is to shop-20260101000002"):
        deeds.perform(Client(str(host.home)), config, seen, lambda _: None)
    now, _ = store.rollout()
    assert now is not None
    assert now.number == 2


def test_a_rollback_is_refused_while_hosts_go_back_already(host: Host) -> None:
    """By a rollback of somebody else, or since the rollout failed; then it is possible."""
    file = host.configure('[release.shop]\nbase = "dfs"\n[rollout.shop]\nslots = 1\n')
    dist = host.directory / "dfs" / "dist"
    names = [f"shop-{20260101000000 + number}" for number in range(5)]
    for name in names:
        (dist / name).mkdir(parents=True)
        (dist / name / "RELEASE").write_text(f"{name[5:]}\n")
    (dist / "shop").symlink_to(dist / names[2])
    store = open_store(configuration.fleet(str(file), "shop"), print)

    def refused() -> str:
        done = host.gapless("rollback", "shop", "--no-wait")
        assert done.returncode == 2, done.stdout + done.stderr
        return done.stderr

    def goes_to() -> str:
        host.ok("rollback", "shop", "--no-wait")
        rollout, _ = store.rollout()
        assert rollout is not None
        return rollout.release

    host.ok("rollback", "shop", names[3], "--no-wait")
    assert store.apply(Action.HOLD, "s0 failed")
    assert goes_to() == names[2]
    assert f"rollout 2 is on its way back to {names[2]} already" in refused()
    assert store.apply(Action.FINISH, "2 of 2 hosts")

    host.ok("rollback", "shop", names[4], "--no-wait")
    assert store.apply(Action.FINISH, "2 of 2 hosts")
    assert goes_to() == names[2]
    assert f"rollout 4 is on its way back to {names[2]} already" in refused()
    assert store.apply(Action.FINISH, "2 of 2 hosts")
    assert goes_to() == names[1]
    assert store.apply(Action.FINISH, "2 of 2 hosts")

    host.ok("rollback", "shop", names[3], "--no-wait")
    assert store.apply(Action.REVERT, "s0 failed")
    assert f"rollout 6 is on its way back to {names[1]} already" in refused()
    assert store.apply(Action.FINISH, "2 of 2 hosts")
    assert goes_to() == names[0]


@pytest.mark.soak
def test_a_rollout_is_held_and_goes_back_and_is_shown(make_fleet: MakeFleet) -> None:
    """Hold stops further hosts; a rollback is the next rollout; both are seen."""
    fleet = make_fleet(kind="python", count=2, policy="slots = 1\nrevert = false")
    fleet.start()
    host = fleet.publisher
    config = str(host.directory / "gapless.toml")
    client = Client(str(host.home))
    steps: list[dict[str, Any]] = []
    told: list[fleet_feed.FleetSeen] = []
    feed = fleet_feed.FleetFeed(config, told.append)
    feed.choose(APP)
    feed.start()

    def do(action: str) -> dict[str, Any]:
        deed = Deed(action=action, app=APP)
        return deeds.perform(client, config, deed, steps.append)

    def page() -> dict[str, Any]:
        (found,) = page_rollouts.read(configuration.fleets(config))
        return found

    try:
        with pytest.raises(MisuseError, match="1 is done: `hold` has no effect"):
            do("hold")
        fleet.begin("2 late 5")  # so there is time before the next host changes
        fleet.wait_for_host("changing")
        assert do("hold")["outcome"] == "done"
        assert fleet.until("held")["reason"] == "hold by hand"
        assert page()["state"] == "held"
        wait.until(lambda: "held" in told[-1].sentence, "the screen to show it")
        assert set(told[-1].hosts) == {"s0", "s1"}
        assert do("resume")["outcome"] == "done"
        fleet.until("done")
        report = do("rollback")
        assert report["outcome"] == "done"
        assert "has begun" in report["reason"]
        fleet.until("done")
        wait.until(lambda: set(fleet.runs().values()) == {"1"}, "both to be back")
        shown = page()
        assert [each["phase"] for each in shown["hosts"]] == ["done", "done"]
        numbers = [each["number"] for each in shown["history"]]
        assert shown["number"] in numbers
        assert len(numbers) >= 2
    finally:
        feed.stop()
