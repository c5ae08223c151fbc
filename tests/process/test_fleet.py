"""A fleet of four behind a real balancer, with load that is counted at the client."""

from __future__ import annotations

import collections

import pytest

from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import APP, Fleet, MakeFleet
from rig.load import engine
from rig.load.engine import Report
from rig.load.process import Load, run_load
from rig.matrix import matrix

CANARY = 'slots = 1\ncanary = ["s2"]\nbake_s = 4'


def nothing_ran_twice(fleet: Fleet, report: Report) -> None:
    """Compare the requests that apps wrote down with the answers that the client got."""
    counts = collections.Counter(fleet.ledger.read_text().split())
    assert not [number for number, times in counts.items() if times > 1]
    assert len(counts) == report.kinds["post"]["requests"]


def go_to(fleet: Fleet, version: str, under_load: Load, slots: int = 1) -> None:
    """Roll a version out; assert that never more hosts than slots are at work."""
    fleet.upload(version)
    most = 0
    while (status := fleet.status())["state"] == "rolling":
        at_work = [h for h in status["hosts"] if h["phase"] in ("changing", "watching")]
        most = max(most, len(at_work))
        under_load.wait_for(20)
    assert status["state"] == "done", f"{status}\n{fleet.agent_logs()}"
    assert most <= slots
    assert set(fleet.runs().values()) == {version}


@pytest.mark.parametrize(
    ("kind", "name"),
    matrix([("node", "nginx"), ("python", "haproxy")], ("python", "haproxy")),
)
def test_good_broken_and_sick_releases(
    make_fleet: MakeFleet, kind: str, name: str
) -> None:
    """v2 runs everywhere, v3 fails on the first host, v4 is reverted at the canary."""
    fleet = make_fleet(kind=kind, policy=CANARY)
    fleet.start()
    with (
        run_balancer(fleet, name) as port,
        run_load(port, *engine.mixed(), seconds=200) as under_load,
    ):
        under_load.wait_for(100)
        go_to(fleet, "2", under_load)

        broken = fleet.publish("3 broken")
        assert broken.returncode == 1
        assert "held" in broken.stdout
        assert "s2 failed" in broken.stdout
        assert set(fleet.runs().values()) == {"2"}
        untouched = [h for h in fleet.status()["hosts"] if h["host"] != "s2"]
        assert {h["phase"] for h in untouched} <= {"waiting", "done", "idle"}

        sick = fleet.publish("4 sick 3")
        assert sick.returncode == 1
        assert "reverted" in sick.stdout
        assert "/health was answered 500" in fleet.agent_logs()
        assert set(fleet.runs().values()) == {"2"}
        assert under_load.versions().get("4"), "the canary never served"
        under_load.wait_for(100)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    nothing_ran_twice(fleet, report)
    link = fleet.base / "dist" / APP
    assert (link / "VERSION").read_text() == "2"
    # When it became current: old scripts compare that with their last restart.
    assert (link / "RELEASE").read_text().strip() >= link.resolve().name[-14:]
    outcomes = [
        each["outcome"] for each in fleet.publisher.json("rollout", "history", APP)
    ]
    assert outcomes == ["done", "done", "superseded by 4", "reverted"]


@pytest.mark.parametrize("name", matrix(["nginx", "haproxy"]))
def test_a_fleet_is_recycled(make_fleet: MakeFleet, name: str) -> None:
    """An app that cannot run twice answers 503, and the balancer asks another server."""
    fleet = make_fleet(kind="python", app="overlap = false", policy="slots = 2")
    fleet.start()
    with (
        run_balancer(fleet, name) as port,
        run_load(port, *engine.mixed(), seconds=200) as under_load,
    ):
        under_load.wait_for(100)
        go_to(fleet, "2", under_load, slots=2)
        under_load.wait_for(100)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    nothing_ran_twice(fleet, report)
    refused = [
        member.host.app(APP)["last_report"]["requests"]["refused"]
        for member in fleet.members
    ]
    assert sum(refused), "no request was refused: nothing was shown"
