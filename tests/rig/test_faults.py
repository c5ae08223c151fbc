"""The rig's faults do what their names say: else a test that uses them shows nothing."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from rig.fleets.fleet import Fleet, Member
from rig.hosts.network import Network
from rig.hosts.small_disk import SmallDisk
from rig.load import engine
from rig.load.process import run_load
from rig.wait import until

HALF_AN_HOUR_S = 1800


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Make a fleet of two hosts, not started yet."""
    found = Fleet(tmp_path, count=2, policy='canary = ["s1"]')
    try:
        yield found
    finally:
        found.close()


def clock_of(member: Member, clock: str) -> float:
    """Return the time of a clock that a command on a host reads."""
    program = f"import time; print(time.clock_gettime(time.{clock}))"
    argv = [*member.host.command_prefix, "python3", "-c", program]
    return float(subprocess.check_output(argv, env=member.host.environment))


def test_a_clock_is_off_and_the_fleet_works(fleet: Fleet) -> None:
    """The wall clock of one host is off, and the time since boot of another."""
    fast, other = fleet.members
    fast.setup.set_clock(3600)
    other.setup.set_boot_clock(5000)
    off_s = clock_of(fast, "CLOCK_REALTIME") - clock_of(other, "CLOCK_REALTIME")
    assert abs(off_s - 3600) < HALF_AN_HOUR_S
    for clock in ("CLOCK_MONOTONIC", "CLOCK_BOOTTIME"):
        ahead_s = clock_of(other, clock) - clock_of(fast, clock)
        assert abs(ahead_s - 5000) < HALF_AN_HOUR_S
    before = set(os.listdir("/dev/shm"))
    fleet.start()
    assert fleet.runs() == {"s0": "1", "s1": "1"}
    times = {
        h["host"]: datetime.fromisoformat(h["at"]) for h in fleet.status()["hosts"]
    }
    ahead_s = (times["s0"] - times["s1"]).total_seconds()
    assert abs(ahead_s - 3600) < HALF_AN_HOUR_S
    ours = {str(pid) for each in fleet.members for pid in each.host.processes()}
    assert ours
    new = set(os.listdir("/dev/shm")) - before
    segments = [name for name in new if "faketime" in name]
    assert not [name for name in segments if name.rpartition("_")[2] in ours]


@pytest.mark.soak
def test_power_cuts_and_pauses(fleet: Fleet) -> None:
    """A host without power has no process; a paused one has, but does not answer."""
    fleet.start()
    one, other = fleet.members
    one.kill()
    assert one.pids() == set()
    assert fleet.runs() == {"s0": "", "s1": "1"}
    one.boot()
    until(lambda: fleet.runs()["s0"] == "1", "the app to be back", 30)
    other.pause()
    states = {Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in other.pids()}
    assert states == {"T"}
    assert fleet.runs() == {"s0": "1", "s1": ""}
    other.resume()
    assert fleet.runs() == {"s0": "1", "s1": "1"}


@pytest.mark.soak
def test_an_old_view_is_one_hosts_own(fleet: Fleet) -> None:
    """It does not see a release until its view is renewed; the other host does."""
    fleet.start()
    one, other = fleet.members
    one.see_old(fleet.base / "dist")
    fleet.upload("2")
    until(lambda: fleet.runs()["s1"] == "2", "the other host", 30)
    assert fleet.runs() == {"s0": "1", "s1": "2"}
    assert (one.host.directory / "old-view" / "example").is_symlink()
    assert other.host.app("example")["release"] in os.listdir(fleet.base / "dist")
    one.see_new(fleet.base / "dist")
    assert fleet.until("done", "held", "reverted", "stuck")["state"] == "done"
    assert fleet.runs() == {"s0": "2", "s1": "2"}


def test_a_disk_is_full_to_its_last_byte(tmp_path: Path) -> None:
    """Nothing can be written then; after `free` it has space again."""
    disk = SmallDisk(tmp_path / "disk", 1)
    try:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "disk" / "more").write_bytes(b"x" * 4096)
        disk.free()
        (tmp_path / "disk" / "more").write_bytes(b"x" * 4096)
    finally:
        disk.close()
    assert not os.listdir(tmp_path / "disk")


def test_a_host_leaves_the_network_and_returns() -> None:
    """It cannot be reached meanwhile, and can be reached afterwards."""
    network = Network(1)

    def is_reached() -> bool:
        with socket.socket() as sock:
            sock.settimeout(1)
            # A host that is on the network refuses a closed port at once.
            return sock.connect_ex((network.address(0), 9)) == errno.ECONNREFUSED

    try:
        assert is_reached()
        network.disconnect(0)
        assert not is_reached()
        network.reconnect(0)
        until(is_reached, "the host to be reached")
    finally:
        network.close()


def test_the_ledger_tells_each_request(fleet: Fleet, tmp_path: Path) -> None:
    """A line has its number, its fate, the release and the instance that answered."""
    fleet.start()
    member, ledger = fleet.members[0], tmp_path / "load.jsonl"
    with run_load(
        member.port, engine.NEW, engine.POST, host=member.address, ledger=ledger
    ) as under_load:
        under_load.wait_for(20)
        report = under_load.stop()
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert sorted(line["number"] for line in lines) == list(
        range(1, report.requests + 1)
    )
    assert {line["fate"] for line in lines} == {"answered"}
    assert {line["version"] for line in lines} == {"1"}
    (pid,) = member.host.app("example")["pids"]
    assert report.instances == {f"s0 {pid}": report.requests}
