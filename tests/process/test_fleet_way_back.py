"""The way back of a fleet: every host ends on the release that is known to be good."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import pytest

from rig import wait
from rig.fleets.fleet import APP, Fleet, MakeFleet
from rig.matrix import matrix

QUICK = "slots = 1\nslot_ttl_s = 2"
CANARY = f'{QUICK}\ncanary = ["s0"]\nbake_s = 3600'
"""The canary is watched until it fails, or something else is wanted."""
GIVES_UP = "restart = { max = 0, min_uptime_s = 10 }"


@pytest.fixture
def make(make_fleet: MakeFleet) -> MakeFleet:
    """Make a fleet of two, whose canary is watched for an hour."""
    return functools.partial(make_fleet, count=2, policy=CANARY)


def start(fleet: Fleet) -> None:
    """Bring the fleet to a first release, without waiting for the canary's hour."""
    _policy(fleet, CANARY, QUICK)
    fleet.start()
    _policy(fleet, QUICK, CANARY)


def _policy(fleet: Fleet, before: str, after: str) -> None:
    file = fleet.publisher.directory / "gapless.toml"
    file.write_text(file.read_text().replace(before, after))


def all_run(fleet: Fleet, version: str) -> None:
    """Wait until every host runs a version."""
    wait.until(lambda: set(fleet.runs().values()) == {version}, f"all on {version}", 30)


@pytest.mark.parametrize("reverts", matrix([True, False], True))
def test_a_host_whose_release_gave_up_runs_the_one_before_again(
    make: MakeFleet, *, reverts: bool
) -> None:
    """Whether the rollout turns back by itself, or is held and `abort` does it."""
    fleet = make(app=GIVES_UP)
    start(fleet)
    if not reverts:
        _policy(fleet, CANARY, f"{CANARY}\nrevert = false")
    fleet.begin("2 ends 1 1")
    if not reverts:
        fleet.until("held")
        fleet.publisher.ok("rollout", "abort", APP)
    reverted = fleet.until("reverted")
    assert {each["release"] for each in reverted["hosts"]} == {reverted["previous"]}
    all_run(fleet, "1")


def test_a_release_that_ends_as_it_may_is_not_taken_for_one_stopped_by_hand(
    make: MakeFleet,
) -> None:
    """It has failed on the canary, which is brought back, and nobody follows it."""
    fleet = make(app="restart = { stop_exit_codes = [0] }")
    start(fleet)
    fleet.begin("2 ends 1 0")
    reverted = fleet.until("reverted")
    assert reverted["reason"] == ("s0 failed: the app ended by itself, with code 0")
    all_run(fleet, "1")
    assert "2" not in {each["release"] for each in reverted["hosts"]}


JOB = 'restart = { automatic = false }\nready = { when = "auto" }'


def test_a_job_is_done_when_it_has_ended_and_runs_once_for_each_release(
    make: MakeFleet,
) -> None:
    """On every host; one that ends with another code has failed, and is held."""
    fleet = make(app=JOB, policy=QUICK)
    for member in fleet.members:
        member.listens = False
    fleet.start("1 job 0.2 0")
    for version in ("2 job 1.5 0", "3 job 0.2 0"):
        assert fleet.publish(version).returncode == 0
        hosts = fleet.status()["hosts"]
        assert [each["phase"] for each in hosts] == ["done", "done"]
    wait.until(_all_finished(fleet), "every job to have ended", 30)
    assert fleet.publish("4 job 1 3").returncode != 0
    failed = fleet.until("reverted")
    assert "ended by itself, with code 3" in failed["reason"]


@pytest.mark.soak
@pytest.mark.parametrize(("code", "phase"), [(0, "done"), (3, "failed")])
def test_a_job_that_ends_while_no_agent_watches_it_is_not_started_again(
    make: MakeFleet, *, code: int, phase: str
) -> None:
    """The agent that comes back judges it by the code with which it ended."""
    fleet = make(
        app=JOB.replace('"auto"', '"auto", timeout_s = 1'), policy=QUICK, count=1
    )
    file = fleet.publisher.directory / "gapless.toml"
    text = re.sub("min_healthy_s = .*", "min_healthy_s = 60", file.read_text())
    file.write_text(text)
    (only,) = fleet.members
    only.listens = False
    fleet.start("1 job 0.2 0")
    fleet.begin(f"2 job 6 {code}")
    fleet.wait_for_host("watching")
    only.kill_agent()
    wait.until(lambda: only.host.app(APP)["finished"], "the end of the job", 30)
    ended = only.host.app(APP)
    only.start_agent()
    found = fleet.until("done" if code == 0 else "reverted")
    generation = only.host.app(APP)["generation"]
    assert f" {phase} " in f" {only.agent_log()} ".replace(":", " ")
    assert generation - ended["generation"] == (0 if code == 0 else 1), found


def _all_finished(fleet: Fleet) -> Callable[[], bool]:
    return lambda: all(
        each["finished"] == fleet.status()["release"] and each["release"] == ""
        for each in fleet.status()["hosts"]
    )


def test_a_release_in_the_place_of_another_that_fails_takes_both_back(
    make: MakeFleet,
) -> None:
    """A host that has only the first of them goes back to the one before both."""
    fleet = make()
    start(fleet)
    fleet.begin("2")
    wait.until(lambda: fleet.runs() == {"s0": "2", "s1": "1"}, "the canary", 30)
    _policy(fleet, '["s0"]', '["s1"]')
    fleet.begin("3 sick 0.5")
    fleet.until("reverted")
    all_run(fleet, "1")


@pytest.mark.soak
def test_a_release_after_a_rollback_that_fails_goes_back_to_where_that_went(
    make: MakeFleet,
) -> None:
    """No host runs the release that the rollback left, though that one was done."""
    fleet = make()
    _policy(fleet, CANARY, QUICK)
    fleet.start()
    assert fleet.publish("2").returncode == 0
    _policy(fleet, QUICK, CANARY)
    fleet.publisher.ok("rollback", APP, "--no-wait")
    wait.until(lambda: fleet.runs() == {"s0": "1", "s1": "2"}, "the canary", 30)
    _policy(fleet, '["s0"]', '["s1"]')
    fleet.begin("3 sick 0.5")
    fleet.until("reverted")
    all_run(fleet, "1")
