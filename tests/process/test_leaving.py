"""A host drains by hand: balancers are told first, then it refuses; never the last."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import APP, Fleet, MakeFleet, Member
from rig.load import engine
from rig.load.process import run_load
from rig.wait import until

QUICK = "slot_ttl_s = 3\ngone_s = 9"  # so that hosts give a sign of life every 3 s


@pytest.fixture
def make(make_fleet: MakeFleet) -> MakeFleet:
    """Start a fleet whose app uses the drain library."""

    def made(count: int, **how: Any) -> Fleet:
        fleet = make_fleet(count=count, kind="python", policy=QUICK, **how)
        fleet.start()
        return fleet

    return made


def refused(member: Member) -> int:
    """Return how many requests a host has refused since its drain began."""
    found = member.host.app(APP)["instances_detail"]
    return sum(each["counts"]["refused"] for each in found)


def serves(member: Member) -> bool:
    """Return whether the health endpoint of a host answers 200, as a balancer asks it."""
    line = http.client.HTTPConnection(member.address, member.health_port, timeout=5)
    try:
        line.request("GET", f"/{APP}")
        return line.getresponse().status == 200
    except OSError:
        return False
    finally:
        line.close()


def modes(member: Member) -> list[str]:
    """Return the modes of the instances of a host."""
    found: list[str] = member.host.app(APP)["modes"]
    return found


def drain(member: Member, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `gapless drain` on a host."""
    return member.host.gapless("drain", *options)


def test_haproxy_is_told_first_and_no_request_is_refused(make: MakeFleet) -> None:
    """The lead time ends when no request comes, long before its limit."""
    fleet = make(3, health_endpoints=True)
    with (
        run_balancer(fleet, "haproxy") as port,
        run_load(port, *engine.mixed(), seconds=200) as under_load,
    ):
        under_load.wait_for(200)
        for member in fleet.members[:2]:
            done = drain(member, "--lead=600")
            assert done.returncode == 0, done.stdout + done.stderr
            assert "balancers are told" in done.stdout
            assert modes(member) == ["recycle"]
            under_load.wait_for(200)
            assert refused(member) == 0
            member.host.ok("undrain")
            under_load.wait_for(200)
        report = under_load.stop()
    assert report.lost == 0, str(report)


@pytest.mark.soak
def test_a_rollout_that_recycles_tells_haproxy_first(make: MakeFleet) -> None:
    """Each host stops its only instance, and no request gets its 503."""
    fleet = make(3, health_endpoints=True, app="overlap = false")
    with (
        run_balancer(fleet, "haproxy") as port,
        run_load(port, *engine.mixed(), seconds=200) as under_load,
    ):
        under_load.wait_for(200)
        done = fleet.publish("2")
        assert done.returncode == 0, done.stdout + fleet.agent_logs()
        assert set(fleet.runs().values()) == {"2"}
        under_load.wait_for(200)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    for member in fleet.members:
        recycled = member.host.app(APP)["last_report"]
        assert recycled["requests"]["refused"] == 0, recycled
        assert recycled["requests"]["cut"] == 0, recycled


@pytest.mark.soak
def test_nginx_goes_on_asking_and_sends_each_refusal_elsewhere(make: MakeFleet) -> None:
    """It checks no health path, so the lead time ends at its limit."""
    fleet = make(3, health_endpoints=True)
    with (
        run_balancer(fleet, "nginx") as port,
        run_load(port, *engine.mixed(), seconds=200) as under_load,
    ):
        under_load.wait_for(200)
        for member in fleet.members[:2]:
            member.host.ok("drain", "--lead=0.5")
            under_load.wait_for(200)
            assert refused(member) > 0
        for member in fleet.members[:2]:
            member.host.ok("undrain")
        report = under_load.stop()
    assert report.lost == 0, str(report)


def test_two_hosts_cannot_both_be_the_last(make: MakeFleet) -> None:
    """Of two at once one is refused; the other never drains unless forced."""
    fleet = make(2)
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(drain, fleet.members))
    assert sorted(each.returncode for each in done) == [0, 1], done
    gone, left = fleet.members
    if done[0].returncode:
        gone, left = left, gone
    again = drain(left)
    assert again.returncode == 1
    assert f"no other host would serve: {gone.name} drains" in again.stderr
    assert "--force" in again.stderr
    assert modes(left) == ["serving"]
    assert drain(gone).returncode == 0  # it has the right already

    gone.host.ok("undrain")
    # Its agent says within seconds that it serves again; before, nobody counts on it.
    until(lambda: drain(left).returncode == 0, "the others to know", 30)
    assert drain(gone).returncode == 1
    assert drain(gone, "--force").returncode == 0
    assert modes(gone) == modes(left) == ["recycle"]


@pytest.mark.soak
def test_one_that_died_is_nobody_who_would_serve(make: MakeFleet) -> None:
    """Its last report says that it serves, but it has no heartbeat."""
    fleet = make(2)
    there, dead = fleet.members
    dead.kill_agent()
    done = drain(there)
    assert done.returncode == 1
    assert f"{dead.name} gave no sign of life" in done.stderr
    assert modes(there) == ["serving"]


def test_where_nobody_can_be_asked_nobody_drains(make: MakeFleet) -> None:
    """A forced drain goes on, and the agent writes it down later."""
    fleet = make(2)
    first = fleet.members[0]
    agreed, away = fleet.base / "fleet", fleet.base / "away"
    shutil.move(agreed, away)
    agreed.touch()
    done = drain(first)
    assert done.returncode == 1, done.stdout
    assert "whether another host serves cannot be known" in done.stderr
    assert modes(first) == ["serving"]
    forced = drain(first, "--force")
    assert forced.returncode == 0, forced.stderr
    assert "the other hosts are not told" in forced.stderr
    agreed.unlink()
    shutil.move(away, agreed)
    until(lambda: drain(fleet.members[1]).returncode == 1, "the others to know", 30)


@pytest.mark.soak
def test_a_recycle_waits_while_all_the_others_drain(make: MakeFleet) -> None:
    """A drained host takes no part, and follows when it serves again."""
    fleet = make(2, app="overlap = false")
    first, second = fleet.members
    first.host.ok("drain")
    fleet.begin("2")

    def waiting() -> bool:
        hosts = fleet.status()["hosts"]
        reports = {str(each["host"]): str(each["reason"]) for each in hosts}
        rests = reports[first.name].startswith("it drains")
        return rests and reports[second.name].startswith("others to serve")

    until(waiting, "the recycle to wait", 30)
    assert fleet.runs()[second.name] == "1"
    first.host.ok("undrain")
    fleet.until("done")
    until(lambda: set(fleet.runs().values()) == {"2"}, "both to follow", 30)


@pytest.mark.soak
def test_an_agent_that_is_restarted_takes_no_host_out(make: MakeFleet) -> None:
    """HAProxy tolerates a health endpoint that is away for a moment."""
    fleet = make(2, health_endpoints=True)
    with (
        run_balancer(fleet, "haproxy") as port,
        run_load(port, *engine.mixed(), seconds=100) as under_load,
    ):
        under_load.wait_for(200)
        for member in fleet.members:
            member.kill_agent()
            member.start_agent()
            until(partial(serves, member), f"the agent of {member.name}", 30)
        under_load.wait_for(200)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert "DOWN" not in (fleet.directory / "balancer.log").read_text()


def test_the_configuration_has_every_host_that_is_known(make: MakeFleet) -> None:
    """A host that is away is written, too; one without an address is an error."""
    fleet = make(2, health_endpoints=True)
    until(fleet.is_addressed, "every host's address to be known", 30)
    fleet.members[1].kill_agent()
    written = fleet.publisher.ok("balancer", "haproxy", APP)
    for member in fleet.members:
        server = f"server {member.name} {member.address}:{member.port} check addr "
        assert server + f"{member.address} port {member.health_port}" in written
    assert f"option httpchk GET /{APP}" in written
    assert fleet.publisher.ok("balancer", "haproxy", APP) == written
    assert "max_fails=0;  # s1" in fleet.publisher.ok("balancer", "nginx", APP)
    done = fleet.publisher.gapless("balancer", "nginx", APP, "--port=1")
    assert done.returncode == 2
    assert "s0: no address is known" in done.stderr
    assert json.loads(fleet.members[0].host.ok("list", "--json"))["apps"]
