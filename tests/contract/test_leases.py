"""Slots: never more holders than slots, although hosts die and sleep, and clocks differ."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gapless.base.errors import UnavailableError
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.coordinator.leases import Lease, Slots
from gapless.coordinator.memory import MemoryCoordinator
from gapless.coordinator.model import Coordinator

TTL_S = 10.0


class World:
    """The true time, and hosts whose clocks are off."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.now = 1000.0
        self.coordinator = coordinator

    def host(self, name: str, offset_s: float = 0.0, ttl_s: float = TTL_S) -> Slots:
        """Return the slots as a host sees them."""
        return Slots(
            self.coordinator, "slots/shop", name, ttl_s, lambda: self.now + offset_s
        )


@pytest.fixture(params=["memory", "directory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Return a world with a coordinator."""
    if request.param == "memory":
        return World(MemoryCoordinator())
    return World(DirectoryCoordinator(str(tmp_path), pytest.fail))


def test_a_slot_has_one_holder(world: World) -> None:
    """Until it is given back; then the next host takes it at once."""
    one, other = world.host("one"), world.host("other", 3600)
    lease = one.take(1)
    assert lease is not None
    assert one.may_act(lease)
    assert other.take(1) is None
    assert other.holders() == {"0": "one"}
    one.give_back(lease)
    assert not one.may_act(lease)
    assert other.take(1) is not None


def test_two_slots_have_two_holders(world: World) -> None:
    """The third host gets none."""
    hosts = [world.host(name) for name in "abc"]
    taken = [host.take(2) for host in hosts]
    assert [lease is not None for lease in taken] == [True, True, False]


def test_fewer_slots_are_free_when_those_of_before_are_given_back(world: World) -> None:
    """A newer policy, or a smaller fleet, has fewer slots."""
    a, b, c = (world.host(name) for name in "abc")
    first, second = a.take(2), b.take(2)
    assert first is not None
    assert second is not None
    a.give_back(first)
    assert c.take(1) is None
    assert a.take(2) is not None
    assert b.take(2) is not None  # its own
    b.give_back(second)
    world.now += TTL_S + 1
    assert c.take(1) is None  # seen unchanged for the first time
    world.now += TTL_S + 1
    assert c.take(1) is not None


def test_a_host_that_is_gone_loses_its_slot_to_who_watched(world: World) -> None:
    """Only after watching for ttl_s: a host that has just begun has not seen it before."""
    one = world.host("one")
    assert one.take(1) is not None
    world.now += 5 * TTL_S
    late = world.host("late", -500)
    assert late.take(1) is None
    world.now += TTL_S - 0.1
    assert late.take(1) is None
    world.now += 0.2
    assert late.take(1) is not None


def test_a_holder_is_judged_by_its_own_time_too(world: World) -> None:
    """The policy of a newer rollout has a shorter one, and the holder renews as before."""
    one, other = world.host("one"), world.host("other", ttl_s=TTL_S / 5)
    lease = one.take(1)
    assert lease is not None
    assert other.take(1) is None
    for _ in range(3):
        world.now += TTL_S / 3
        assert other.take(1) is None
        assert one.may_act(lease)
        lease = one.renew(lease)
        assert lease is not None
    assert other.take(1) is None
    world.now += TTL_S - 0.1
    assert other.take(1) is None
    world.now += 0.2
    assert not one.may_act(lease)
    assert other.take(1) is not None


def test_a_holder_of_an_earlier_version_is_judged_by_the_time_of_who_asks(
    world: World,
) -> None:
    """Its record has no time."""
    one, other = world.host("one"), world.host("other")
    lease = one.take(1)
    assert lease is not None
    world.coordinator.write(
        "slots/shop/0", b'{"holder": "one"}', expected=lease.version
    )
    assert other.take(1) is None
    assert other.holders() == {"0": "one"}
    world.now += TTL_S
    assert other.take(1) is not None


def test_a_lease_ends_with_its_time(world: World) -> None:
    """A lease expires although its record is unchanged."""
    one = world.host("one")
    lease = one.take(1)
    assert lease is not None
    world.now += TTL_S - 0.1
    assert one.may_act(lease)
    world.now += 0.2
    assert not one.may_act(lease)


def test_a_beat_keeps_it(world: World) -> None:
    """A renewed lease holds, however long it takes in all."""
    one, other = world.host("one"), world.host("other")
    lease = one.take(1)
    for _ in range(10):
        assert lease is not None
        assert other.take(1) is None
        world.now += TTL_S * 0.6
        lease = one.renew(lease)
    assert lease is not None
    assert one.may_act(lease)


def test_who_was_paused_and_woken_may_not_act(world: World) -> None:
    """Neither while the slot is still free, nor after another host took it."""
    one, other = world.host("one"), world.host("other")
    lease = one.take(1)
    assert lease is not None
    assert other.take(1) is None
    world.now += 60
    assert not one.may_act(lease)
    taken = other.take(1)
    assert taken is not None
    assert taken.version > lease.version
    assert one.renew(lease) is None
    one.give_back(lease)  # the slot is another host's
    assert other.may_act(taken)


def test_a_host_that_was_restarted_has_its_own_slot_again(world: World) -> None:
    """It does not wait for its own slot, and takes no second one."""
    assert world.host("one").take(2) is not None
    again = world.host("one")
    assert again.take(2) is not None
    assert again.holders() == {"0": "one"}


def test_a_record_that_cannot_be_read_is_held_until_it_is_old(world: World) -> None:
    """Its holder is not known, so it is not taken at once."""
    world.coordinator.write("slots/shop/0", b"rubbish", expected=0)
    one = world.host("one")
    assert one.take(1) is None
    world.now += TTL_S
    assert one.take(1) is not None


@pytest.mark.parametrize("seed", range(40))
def test_never_two_holders_of_one_slot_may_act(seed: int) -> None:
    """Hosts die, sleep and meet outages of the coordinator; clocks are off at random."""
    chance = random.Random(seed)
    world = World(Flaky(chance))
    count = chance.randint(1, 3)
    hosts = [
        Host(world.host(f"h{number}", chance.uniform(-9e4, 9e4))) for number in range(8)
    ]
    acted = 0
    for _ in range(600):
        world.now += chance.expovariate(1 / (TTL_S / 8))
        host = chance.choice(hosts)
        if host.sleeps_until <= world.now:
            host.turn(count, chance)
            if chance.random() < 0.03:
                host.sleeps_until = world.now + chance.uniform(0, 6 * TTL_S)
            if chance.random() < 0.01:
                host.lease = None  # killed, and started again without its memory
        acting = [each for each in hosts if each.has_time()]
        acted += sum(each.may_act() for each in acting)
        assert len(acting) <= count
        assert len({each.lease.slot for each in acting if each.lease}) == len(acting)
    assert acted > 50


class Flaky(MemoryCoordinator):
    """Some writes fail; some are done and lose their answer."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance, self.honest = chance, False

    def write(self, key: str, value: bytes, *, expected: int):  # type: ignore[no-untyped-def]  # noqa: ANN201 - as the base has it
        """Write, and perhaps fail before or after."""
        if self._chance.random() < 0.05:
            raise UnavailableError("it is away")
        entry = super().write(key, value, expected=expected)
        if self._chance.random() < 0.05:
            raise UnavailableError("the answer was lost")
        return entry


class Host:
    """Takes a slot, keeps it for a while, gives it back."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.lease: Lease | None = None
        self.sleeps_until = 0.0

    def turn(self, count: int, chance: random.Random) -> None:
        """Take a slot, renew it, or give it back."""
        try:
            if self.lease is None:
                self.lease = self.slots.take(count)
            elif chance.random() < 0.2:
                given, self.lease = self.lease, None
                self.slots.give_back(given)
            else:
                self.lease = self.slots.renew(self.lease)
        except UnavailableError:
            return

    def has_time(self) -> bool:
        """Return whether it would act if all that it reads were old (rule 2)."""
        return self.lease is not None and self.slots._now() < self.lease.until

    def may_act(self) -> bool:
        """Return whether it would act now."""
        return self.lease is not None and self.slots.may_act(self.lease)
