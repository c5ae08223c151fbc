"""Faults in each phase, drawn by a seed: the fleet converges, few hosts at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rig import wait
from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import Fleet, Member
from rig.load import engine
from rig.load.process import Load, run_load

SLOTS = 2
POLICY = f"slots = {SLOTS}\nslot_ttl_s = 10\ngone_s = 21"
"""A lease outlasts an election of etcd, or others would take slots of watching hosts."""
PHASES = ("fetching", "changing", "watching")
HOUR_S = 3600
SEEDS = [pytest.param(n, 2, marks=pytest.mark.soak) for n in range(8)]
"""Seeds, and how many rollouts each meets a fault in."""
Undo = Callable[[], None]


@dataclass(slots=True)
class World:
    """A fleet, and the hosts that have a fault now and are not counted."""

    fleet: Fleet
    draw: random.Random
    struck: set[str]

    def at_work(self, status: dict[str, Any]) -> list[str]:
        """Return the hosts at work, except those that have a fault."""
        return [
            each["host"]
            for each in status["hosts"]
            if each["phase"] in ("changing", "watching")
            and each["host"] not in self.struck
        ]

    def look(self) -> dict[str, Any]:
        """Return the status; assert that never more hosts than slots are at work."""
        status = self.fleet.status()
        assert len(self.at_work(status)) <= SLOTS, status
        return status

    def member_in(self, phase: str) -> Member | None:
        """Wait for a host in a phase; return it, or None if the rollout ended before."""
        members = {member.name: member for member in self.fleet.members}
        seen: list[Member] = []

        def is_seen() -> bool:
            status = self.look()
            hosts = sorted(h["host"] for h in status["hosts"] if h["phase"] == phase)
            seen.extend(members[host] for host in hosts)
            return bool(seen) or status["state"] != "rolling"

        wait.until(is_seen, f"a host that is {phase}", 60)
        return self.draw.choice(seen) if seen else None


# --- faults: each strikes a host or the fleet, and returns how it is mended -------------


def agent_is_killed(_: World, member: Member) -> Undo:
    """The app serves on."""
    member.kill_agent()
    return member.start_agent


def agent_is_paused(_: World, member: Member) -> Undo:
    """It must not act on its old slot when it goes on."""
    member.pause_agent()
    return member.resume_agent


def supervisor_is_killed(_: World, member: Member) -> Undo:
    """The keeper holds the instances; the agent's next request starts a supervisor."""
    member.kill_supervisor()
    return lambda: None


def leader_is_killed(world: World, _: Member) -> Undo:
    """The other two members elect a new leader."""
    etcd = world.fleet.etcd
    assert etcd is not None
    leader = etcd.leader()
    etcd.kill(leader)
    return lambda: etcd.restart(leader)


def publisher_is_killed(world: World, _: Member) -> Undo:
    """The next publisher finalizes the rollout."""
    world.fleet.kill_watch()
    return world.fleet.watch


def host_is_parted(_: World, member: Member) -> Undo:
    """It sees the shared directory, and cannot reach etcd."""
    member.disconnect()
    return member.reconnect


def power_is_cut(_: World, member: Member) -> Undo:
    """Every process of the host is gone at once."""
    member.kill()
    return member.boot


def host_is_paused(_: World, member: Member) -> Undo:
    """Every process of the host stops, as on a machine that was suspended."""
    member.pause()
    return member.resume


GENTLE = (
    agent_is_killed,
    agent_is_paused,
    supervisor_is_killed,
    leader_is_killed,
    publisher_is_killed,
)
"""No request may be lost by these."""
HARD = (*GENTLE, host_is_parted, power_is_cut, host_is_paused)
"""With these, requests at the host that fails are lost."""


@contextmanager
def world_of(tmp_path: Path, seed: int) -> Iterator[World]:
    """Make a fleet of four with three members of etcd; the clocks of hosts are off."""
    fleet = Fleet(tmp_path, etcd=3, policy=POLICY)
    try:
        fleet.members[0].setup.set_clock(HOUR_S)
        fleet.members[1].setup.set_clock(-HOUR_S)
        fleet.members[2].setup.set_boot_clock(5 * HOUR_S)
        fleet.start()
        yield World(fleet, random.Random(seed), set())
    finally:
        fleet.close()


def befall(world: World, version: str, faults: tuple[Callable[..., Undo], ...]) -> None:
    """Roll a version out, with a fault in a phase; the seed draws both."""
    draw = world.draw
    phase, fault = draw.choice(PHASES), draw.choice(faults)
    print(f"{version}: {fault.__name__} while a host is {phase}", flush=True)
    world.fleet.upload(version)
    member = world.member_in(phase)
    if member is None:
        return  # it went by unseen
    world.struck.add(member.name)
    mend = fault(world, member)
    for _ in range(draw.randrange(3, 20)):
        world.look()
    mend()
    wait.until(lambda: world.look()["state"] == "done", f"rollout of {version}", 120)
    # Who was away catches up after the end.
    expected = {version}
    wait.until(lambda: set(world.fleet.runs().values()) == expected, "all of them", 90)
    world.struck.clear()


@pytest.mark.soak
@pytest.mark.parametrize(("seed", "count"), SEEDS)
def test_what_kills_no_app_loses_no_request(
    tmp_path: Path, seed: int, count: int
) -> None:
    """Agents, supervisors, publishers and etcd's leader die or pause under load."""
    with (
        world_of(tmp_path, seed) as world,
        run_balancer(world.fleet, "nginx") as port,
        run_load(port, *engine.mixed(2, 0.01), seconds=600) as under_load,
    ):
        for number in range(2, 2 + count):
            befall(world, str(number), GENTLE)
            _go_on(under_load)
        report = under_load.stop()
        assert report.lost == 0, f"{report}\n{world.fleet.agent_logs()}"


@pytest.mark.parametrize(("seed", "count"), SEEDS)
def test_hosts_that_vanish_hold_nothing_up(
    tmp_path: Path, seed: int, count: int
) -> None:
    """With power cuts, suspended machines and partitions, too, every host arrives."""
    with world_of(tmp_path, seed) as world:
        for number in range(2, 2 + count):
            befall(world, str(number), HARD)


def _go_on(under_load: Load) -> None:
    under_load.wait_for(30, 60)
