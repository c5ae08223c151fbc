"""Which hosts are alive for a host that reads the records they share."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gapless.base.errors import UnavailableError
from gapless.coordinator.memory import MemoryCoordinator
from gapless.coordinator.model import Entry
from gapless.rollout.model import HostReport
from gapless.rollout.store import FleetStore

GONE_S = 90.0
HEARTBEAT_S = 30.0


class World:
    """One time, one coordinator, which may be away, and a store for each host."""

    def __init__(self) -> None:
        self.now, self.shared = 1000.0, _Away()
        self._versions: dict[str, int] = {}
        self._stores: dict[str, FleetStore] = {}

    def store(self, host: str) -> FleetStore:
        """Return the store of a host, always the same."""
        made = FleetStore(
            self.shared, "app", now=lambda: self.now, complain=pytest.fail
        )
        return self._stores.setdefault(host, made)

    def heartbeat(self, *hosts: str, gone_s: float = 0.0) -> None:
        """Let hosts write their reports, as agents of earlier versions or with a time."""
        for host in hosts:
            before = self._versions.get(host, 0)
            self._versions[host] = self.store(host).hosts.write(
                HostReport(host=host, gone_s=gone_s), before
            )

    def pass_time(self, host: str, seconds: float) -> None:
        """Let one host write and read every second, and the others be silent."""
        for _ in range(int(seconds)):
            self.now += 1.0
            self.heartbeat(host)
            self.live_for(host)

    def live_for(self, host: str, gone_s: float = GONE_S) -> list[str]:
        """Return the hosts that are alive for a host."""
        return sorted(each.host for each in self.store(host).hosts.live(gone_s))


class _Away(MemoryCoordinator):
    """A coordinator that can be away."""

    away = False

    def read(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        self._check()
        return super().read(key)

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return every key below `prefix/`."""
        self._check()
        return super().read_all(prefix)

    def wait(
        self, prefix: str, seen: Mapping[str, int], timeout_s: float
    ) -> dict[str, Entry]:
        """Return every key at once: the time of this world has passed already."""
        assert timeout_s > 0
        assert seen is not None
        return self.read_all(prefix)

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("it is away")


def test_a_host_that_is_silent_is_gone() -> None:
    """For a host that reads all the time."""
    world = World()
    world.heartbeat("a", "b")
    assert world.live_for("a") == ["a", "b"]
    world.pass_time("a", GONE_S)
    assert world.live_for("a") == ["a"]


def test_a_host_is_judged_by_the_time_that_it_goes_by_too() -> None:
    """A newer rollout has a shorter one, and a host at work reports as before."""
    world = World()
    world.heartbeat("a", "b", gone_s=GONE_S)
    short_s = 10.0
    for _ in range(3):
        world.heartbeat("b", gone_s=GONE_S)
        for _ in range(int(HEARTBEAT_S)):
            world.now += 1.0
            world.heartbeat("a", gone_s=short_s)
            assert world.live_for("a", short_s) == ["a", "b"]
    for _ in range(int(GONE_S)):
        world.now += 1.0
        world.heartbeat("a", gone_s=short_s)
        world.live_for("a", short_s)
    assert world.live_for("a", short_s) == ["a"]


def test_silence_is_measured_on_the_readers_clock() -> None:
    """A host is gone when its record is unchanged, and alive again when it changes."""
    now = [100.0]
    coordinator = MemoryCoordinator()
    store = FleetStore(coordinator, "app", now=lambda: now[0], complain=print)
    version = store.hosts.write(HostReport(host="a"), 0)
    assert [each.host for each in store.hosts.live(10)] == ["a"]
    for _ in range(10):
        now[0] += 1
        store.rollout()
    assert store.hosts.live(10) == []
    store.hosts.write(HostReport(host="a"), version)
    assert [each.host for each in store.hosts.live(10)] == ["a"]


def test_a_host_at_rest_sees_who_has_gone_meanwhile() -> None:
    """It waits for changes of rollouts, and hardly reads reports."""
    world = World()
    world.heartbeat("a", "b")
    assert world.live_for("a") == ["a", "b"]
    for _ in range(10):
        world.now += HEARTBEAT_S
        world.heartbeat("a")
        assert world.store("a").wait(HEARTBEAT_S)
    assert world.live_for("a") == ["a"]


def test_a_coordinator_that_was_away_takes_no_host_out() -> None:
    """No host could write: the first that reads afterwards still counts the others."""
    world = World()
    world.heartbeat("a", "b")
    assert world.live_for("a") == ["a", "b"]
    world.shared.away = True
    for _ in range(100):
        world.now += 2.0
        with pytest.raises(UnavailableError):
            world.store("a").rollout()
    world.shared.away = False
    world.store("a").rollout()
    world.heartbeat("a")
    assert world.live_for("a") == ["a", "b"]
    world.pass_time("a", GONE_S)
    assert world.live_for("a") == ["a"]


def test_a_coordinator_that_was_away_while_a_change_was_waited_for() -> None:
    """An outage of one heartbeat is shorter than the silence of a host that is gone."""
    world = World()
    world.heartbeat("a", "b")
    assert world.live_for("a") == ["a", "b"]
    for _ in range(2):
        world.now += HEARTBEAT_S
        assert world.store("a").wait(HEARTBEAT_S)
    assert world.live_for("a") == ["a", "b"]


def test_reads_that_take_long_do_not_stop_the_clock() -> None:
    """In a large fleet each read takes seconds; a host that is gone is still noticed."""
    world = World()
    world.heartbeat("a", "b")
    live = world.live_for("a")
    assert live == ["a", "b"]
    for _ in range(int(GONE_S) // 10):
        world.now += 15.0
        assert world.store("a").wait(10.0)
        world.heartbeat("a")
        live = world.live_for("a")
    assert live == ["a"]
