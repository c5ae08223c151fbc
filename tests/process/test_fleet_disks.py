"""Own copies of releases, full disks, old views of a directory, failed builds."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from rig import wait
from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import APP, Fleet, MakeFleet
from rig.fleets.member import Member
from rig.load import engine
from rig.load.process import run_load

SLOW = engine.Traffic(kind="new", concurrency=2, pause_s=0.01)


@pytest.fixture
def make(make_fleet: MakeFleet) -> MakeFleet:
    """Make a fleet of three."""
    return functools.partial(make_fleet, count=3, policy="slots = 1")


def copies(fleet: Fleet, member: Member) -> list[str]:
    """Return the releases on a host's own disk."""
    dist = fleet.base_on(member) / "dist"
    return sorted(path.name for path in dist.iterdir() if not path.is_symlink())


def published(fleet: Fleet, version: str) -> Path:
    """Return the directory of a release on the release server."""
    files = (fleet.base / "dist").glob(f"{APP}-*/VERSION")
    return next(path.parent for path in files if path.read_text() == version)


def test_hosts_run_copies_that_are_verified(make: MakeFleet) -> None:
    """Hosts run their own copies, and refuse a release that was changed on the server."""
    fleet = make(copies=True, policy="slots = 1\nrevert = false")
    fleet.start()
    with run_balancer(fleet, "nginx") as port, run_load(port, SLOW) as under_load:
        fleet.upload("2")
        fleet.until("done")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert set(fleet.runs().values()) == {"2"}
    for member in fleet.members:
        assert published(fleet, "2").name in copies(fleet, member)
        own = fleet.base_on(member) / "dist" / APP
        assert (own.resolve() / "VERSION").read_text() == "2"
        assert own.resolve().is_relative_to(member.host.home)
    first, others = fleet.members[0], fleet.members[1:]
    for each in others:
        each.kill_agent()
    fleet.upload("3")
    wait.until(lambda: fleet.runs()[first.name] == "3", "the first host to run it")
    (published(fleet, "3") / "VERSION").write_text("another")
    for each in others:
        each.start_agent()
    held = fleet.until("held")
    assert "is not what was published" in held["reason"]
    assert sorted(fleet.runs().values()) == ["2", "2", "3"]


@pytest.mark.soak
def test_a_full_disk_holds_a_rollout_until_there_is_room(make: MakeFleet) -> None:
    """The reason names the full disk; the host serves on, and catches up afterwards."""
    fleet = make(copies=True, policy="slots = 1\nrevert = false")
    struck = fleet.members[1]
    disk = struck.setup.small_disk(16)
    fleet.start()
    with run_balancer(fleet, "nginx") as port, run_load(port, SLOW) as under_load:
        disk.fill()
        fleet.upload("2")
        held = fleet.until("held")
        assert "No space left" in held["reason"], held
        assert f"{struck.name} failed" in held["reason"], held
        assert fleet.runs()[struck.name] == "1"
        under_load.wait_for(50)
        disk.free()
        fleet.publisher.ok("rollout", "resume", APP)
        fleet.until("done")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert set(fleet.runs().values()) == {"2"}


@pytest.mark.soak
def test_a_build_that_fails_reaches_no_host(make: MakeFleet) -> None:
    """The upload is refused with the reason, apps run on; a slow build is waited for."""
    fleet = make()
    fleet.start()
    before = fleet.status()["number"]
    fleet.put("2", build="echo there is no compiler; exit 3")
    refused = fleet.base / "refused" / APP
    wait.until(lambda: [*refused.glob("*.reason.txt")], "the upload to be refused")
    assert fleet.status()["number"] == before
    assert set(fleet.runs().values()) == {"1"}
    assert "there is no compiler" in next(refused.glob("*.reason.txt")).read_text()
    fleet.put("3", build="sleep 3")
    wait.until(lambda: fleet.status()["number"] > before, "the slow build", 30)
    fleet.until("done")
    assert set(fleet.runs().values()) == {"3"}


@pytest.mark.soak
def test_a_host_with_an_old_view_takes_no_slot(make: MakeFleet) -> None:
    """The others go on without it; it reports what it waits for, and follows later."""
    fleet = make()
    assert fleet.network.is_real
    fleet.start()
    blind = fleet.members[0]
    blind.see_old(fleet.base / "dist")
    fleet.upload("2")

    def others() -> set[str]:
        return {v for name, v in fleet.runs().items() if name != blind.name}

    wait.until(lambda: others() == {"2"}, "the others", 60)
    assert fleet.runs()[blind.name] == "1"
    assert ": to see example-" in blind.agent_log()
    blind.see_new(fleet.base / "dist")
    fleet.until("done")
    assert set(fleet.runs().values()) == {"2"}
