"""Faults during a rollout: the fleet converges, or holds and gives the reason."""

from __future__ import annotations

import functools
import random
import signal
from pathlib import Path

import pytest

from rig import wait
from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import APP, MakeFleet
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.programs.etcd import Etcd

SLOW = engine.Traffic(kind="new", concurrency=2, pause_s=0.01)
QUICK = "slots = 1\nslot_ttl_s = 2\ngone_s = 6"


@pytest.fixture
def make(make_fleet: MakeFleet) -> MakeFleet:
    """Make a fleet of three."""
    return functools.partial(make_fleet, count=3, policy=QUICK)


@pytest.mark.parametrize("phase", matrix(["changing", "watching"], "changing"))
def test_an_agent_that_is_killed_goes_on_where_it_was(
    make: MakeFleet, phase: str
) -> None:
    """Its app serves throughout; a new agent takes the same slot and ends the turn."""
    fleet = make()
    fleet.start()
    with run_balancer(fleet, "nginx") as port, run_load(port, SLOW) as under_load:
        fleet.upload("2")
        struck = fleet.wait_for_host(phase)
        struck.kill_agent()
        under_load.wait_for(50)
        struck.start_agent()
        fleet.until("done")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert set(fleet.runs().values()) == {"2"}


@pytest.mark.soak
def test_a_host_that_is_gone_for_good_with_a_slot_holds_nothing_up(
    make: MakeFleet,
) -> None:
    """Others take its slot when the lease has expired, and do not wait for the host."""
    fleet = make()
    fleet.start()
    fleet.upload("2")
    gone = fleet.wait_for_host("changing")
    gone.kill_agent()
    fleet.until("done")
    others = {name: v for name, v in fleet.runs().items() if name != gone.name}
    assert set(others.values()) == {"2"}
    # It comes back after all, and catches up by itself.
    gone.start_agent()
    wait.until(lambda: set(fleet.runs().values()) == {"2"}, "the host to catch up", 30)


@pytest.mark.soak
def test_a_host_that_slept_does_not_act_on_its_old_slot(make: MakeFleet) -> None:
    """Others take the slot of a paused agent; it goes on later, and tries again."""
    fleet = make(app='ready = { http = "/health", timeout_s = 60 }')
    fleet.start()
    fleet.upload("2 late 3")
    member = fleet.wait_for_host("changing")
    member.signal_agent(signal.SIGSTOP)
    fleet.until("done")
    assert fleet.runs()[member.name] == "1"  # nothing switched without its agent
    member.signal_agent(signal.SIGCONT)
    wait.until(lambda: fleet.runs()[member.name] == "2", "it to catch up", 60)
    # It asked once more, was refused, and did not blame the release.
    assert "waiting (" in member.agent_log()
    assert "failed (" not in member.agent_log()


def test_a_publisher_that_is_killed_and_two_at_once(make: MakeFleet) -> None:
    """The next publisher finalizes the rollout; of two uploads the newer one runs."""
    fleet = make()
    fleet.start()
    fleet.upload("2")
    fleet.kill_watch()
    fleet.until("done")
    link = fleet.base / "dist" / APP / "VERSION"
    assert link.read_text() == "1"
    fleet.watch()
    wait.until(lambda: link.read_text() == "2", "the link to be flipped")
    first = fleet.begin("3")
    second = fleet.begin("4")
    assert second == first + 1
    fleet.until("done")
    wait.until(lambda: set(fleet.runs().values()) == {"4"}, "all on the newest")
    outcomes = {
        each["number"]: each["outcome"]
        for each in fleet.publisher.json("rollout", "history", APP)
    }
    assert outcomes[first] == f"superseded by {second}"


@pytest.mark.soak
def test_hold_resume_and_abort(make: MakeFleet) -> None:
    """After `hold` no further host switches; `resume` goes on, and `abort` goes back."""
    fleet = make()
    fleet.start()
    fleet.begin("2 late 5")  # so there is time to hold before the next host changes
    fleet.wait_for_host("changing")
    assert "held" in fleet.publisher.ok("rollout", "hold", APP, "--reason", "lunch")
    held = fleet.until("held")
    assert held["reason"] == "lunch"

    def is_quiet() -> bool:
        phases = [host["phase"] for host in fleet.status()["hosts"]]
        return not {"changing", "watching"} & set(phases)

    wait.until(is_quiet, "hosts at work to end", 60)
    if "2" in fleet.runs().values():  # hold came late
        assert sorted(fleet.runs().values()) == ["1", "1", "2"]
    else:
        assert "the rollout is held: lunch" in fleet.agent_logs()
    fleet.publisher.ok("rollout", "resume", APP)
    wait.until(lambda: "2" in fleet.runs().values(), "a host to change", 60)
    fleet.publisher.ok("rollout", "abort", APP)
    fleet.until("reverted")
    assert set(fleet.runs().values()) == {"1"}
    again = fleet.publisher.gapless("rollout", "abort", APP)
    assert again.returncode == 2
    assert "has no effect on it" in again.stderr
    back = fleet.publisher.gapless("rollback", APP)
    assert back.returncode != 0  # there is nothing older


@pytest.mark.soak
def test_abort_and_a_newer_release_wait_for_no_canary_to_be_baked(
    make: MakeFleet,
) -> None:
    """A canary is watched for an hour; `abort` and a newer release end that at once."""
    fleet = make()
    fleet.start()
    file = fleet.publisher.directory / "gapless.toml"
    watched = f'{QUICK}\ncanary = ["s1"]\nbake_s = 3600'
    file.write_text(file.read_text().replace(QUICK, watched))
    fleet.begin("2")
    canary = fleet.wait_for_host("watching")
    fleet.publisher.ok("rollout", "abort", APP)
    fleet.until("reverted")
    assert set(fleet.runs().values()) == {"1"}
    fleet.begin("3")
    wait.until(lambda: fleet.runs()[canary.name] == "3", "the next canary", 60)
    fleet.wait_for_host("watching")
    fleet.begin("4")
    wait.until(lambda: fleet.runs()[canary.name] == "4", "the one after it", 60)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in range(1, 6))]
)
def test_etcd_goes_away_and_a_host_is_parted(
    make: MakeFleet, tmp_path: Path, seed: int
) -> None:
    """Every app serves on; when etcd is back, and the host, the rollout goes on."""
    draw = random.Random(seed)
    etcd = Etcd(tmp_path / "etcd", host="0.0.0.0").start()
    try:
        fleet = make(
            coordinator=f'[coordinator]\netcd = ["http://@:{etcd.port}"]\ntimeout_s = 1'
        )
        assert fleet.network.is_real
        fleet.start()
        with run_balancer(fleet, "haproxy") as port, run_load(port, SLOW) as under_load:
            fleet.begin("2")
            parted = fleet.wait_for_host("changing")
            etcd.kill()
            under_load.wait_for(draw.randrange(100, 400))
            wait.until(
                lambda: "it serves on" in fleet.agent_logs(), "agents to notice", 30
            )
            asked = fleet.publisher.gapless("rollout", "status", APP)
            assert asked.returncode == 1
            assert "etcd" in asked.stderr
            etcd.start()
            fleet.until("done")
            report = under_load.stop()
        assert report.lost == 0, str(report)
        parted.disconnect()
        fleet.begin("3")
        fleet.until("done")
        parted.reconnect()
        wait.until(lambda: set(fleet.runs().values()) == {"3"}, "it to catch up", 60)
    finally:
        etcd.kill()
