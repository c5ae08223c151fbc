"""The sockets of seats come and go, and no connection comes elsewhere meanwhile."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from gapless.supervisor.kernel.source_buckets import bucket_of
from gapless.supervisor.sockets import affinity
from gapless.supervisor.sockets.addresses import inode_of
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners
from tests.unit.supervisor.sockets.test_calls_by_name import Keeper

SOURCES = [f"127.0.2.{number}" for number in range(2, 14)]


class Group:
    """The sockets of one app on one port, of which each is asked who gets what."""

    def __init__(self) -> None:
        self.keeper = Keeper()
        self.listeners = Listeners(cast("Any", self.keeper))
        self.port = 0
        self.seats = 0
        """How many of the generation that serves."""
        groups: Any = self.listeners.groups
        self._leave = groups.leave
        groups.leave = self._checked_leave

    def generation(self, number: int, seats: int, *, shared: bool = False) -> None:
        """Let the instances of a generation bind and listen, one after the other."""
        for seat in [None] if shared else range(seats):
            with socket.socket() as sock:
                self.listeners.bind(
                    "app",
                    number,
                    "127.0.0.1",
                    self.port or _free_port(),
                    sock,
                    seat=seat,
                )
                found = self.listeners.by_inode("app", number, sock)
            assert found is not None
            self.port = found.tcp_port or 0
            self.listeners.listen(found)
            found.sock.setblocking(False)
        self.answer()

    def switch(self, number: int) -> None:
        """Let a generation serve."""
        self.listeners.steer("app", number)
        self.check()

    def close(self, number: int) -> None:
        """Let the sockets of a generation go."""
        for each in self.listeners.of("app", number):
            self.listeners.leave(each)
        self.answer()

    def answer(self) -> None:
        """Let the keeper do what it was told, until nothing is left."""
        while self.keeper.released:
            self.listeners.left(self.keeper.released.pop(0))

    def _checked_leave(self, listener: Listener) -> None:
        """Check between the close of a socket and the next program."""
        if len(self.takers()) > 0:
            self.check()
        self._leave(listener)

    def takers(self) -> list[Listener]:
        """Return the sockets that take connections, by their seats."""
        group = f"127.0.0.1:{self.port}"
        return [e for e in self.listeners.groups.takers(group) if not e.leaving]

    def check(self) -> None:
        """Connect from many addresses: each comes to its seat."""
        takers = self.takers()
        present = [not each.vacant for each in takers]
        for source in SOURCES:
            with socket.socket() as client:
                client.settimeout(5)
                client.bind((source, 0))
                client.connect(("127.0.0.1", self.port))
                place = affinity.seat_of(bucket_of(source), present)
                takers[place].sock.accept()[0].close()


@pytest.fixture
def group() -> Iterator[Group]:
    """Yield a group, and close it."""
    found = Group()
    with contextlib.ExitStack() as stack:
        yield found
        for each in found.listeners.by_name.values():
            stack.callback(each.sock.close)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_no_connection_comes_elsewhere_while_old_sockets_leave(group: Group) -> None:
    """In no order of sizes; between a close and the next program neither."""
    for number, seats in enumerate((3, 2, 4, 1, 3, 3), 1):
        group.generation(number, seats)
        group.switch(number)
        if number > 1:
            group.close(number - 1)
        group.check()
    # What could not leave yet is no more than one generation had.
    assert len(group.listeners.by_name) <= 3 + 4


def test_nor_while_a_failed_generation_leaves(group: Group) -> None:
    """It never served; its sockets stand before those that join later."""
    group.generation(1, 3)
    group.switch(1)
    for number in range(2, 6):
        group.generation(number, 3)
        group.close(number)
        group.check()
    assert len(group.listeners.by_name) <= 3 + 3


def test_seats_and_one_socket_for_all_follow_each_other(group: Group) -> None:
    """`affinity` may change with each generation."""
    for number, shared in enumerate((True, False, True, True, False), 1):
        group.generation(number, 3, shared=shared)
        group.switch(number)
        if number > 1:
            group.close(number - 1)
        group.check()


def test_an_app_that_stops_leaves_no_socket(group: Group) -> None:
    """Those that waited to leave go too."""
    group.generation(1, 3)
    group.switch(1)
    group.generation(2, 3)
    group.switch(2)
    group.close(1)
    group.close(2)
    assert not group.listeners.by_name
    assert not group.listeners.groups.orders


def test_a_quiesced_group_opens_all_its_seats_again(group: Group) -> None:
    """One socket stands for all meanwhile."""
    group.generation(1, 3)
    group.switch(1)
    assert not group.listeners.quiesce("app", 1, for_good=False)
    assert [each.shut for each in group.takers()] == [True]
    group.listeners.resume("app", 1)
    group.answer()
    assert len(group.takers()) == 3
    group.check()


def test_the_next_instance_of_a_seat_gets_the_socket_of_the_first(group: Group) -> None:
    """And no other seat does; a restart takes no other socket out of the group."""
    group.generation(1, 3)
    group.switch(1)
    with socket.socket() as sock:
        port = group.port
        held = group.listeners.bind("app", 1, "127.0.0.1", port, sock, seat=1)
    assert group.listeners.by_name[held].seat == 1
    assert len(group.listeners.by_name) == 3


def test_addresses_of_a_vacant_seat_come_back_to_it(group: Group) -> None:
    """No other address moves, neither way."""
    group.generation(1, 3)
    group.switch(1)
    name = group.takers()[1].name
    for vacant in (True, False):
        group.listeners.groups.set_vacant({name: vacant})
        group.check()
    everyone = {each.name: True for each in group.takers()}
    group.listeners.groups.set_vacant(everyone)
    group.check()  # with nobody there, connections wait where they would be accepted


def test_a_supervisor_that_follows_steers_by_seats_too(group: Group) -> None:
    """What was to leave is known as such, and leaves."""
    group.generation(1, 3)
    group.generation(2, 3)
    group.switch(2)
    for each in group.listeners.of("app", 1):
        group.listeners.leave(each)
    notes: dict[str, dict[str, object]] = {}
    metas: dict[str, dict[str, object]] = {}
    keeper: Any = Keeper()
    keeper.hold = lambda name, meta, _: metas.__setitem__(name, meta)
    keeper.note = notes.__setitem__
    group.listeners._keeper = group.listeners.groups._keeper = keeper
    for each in group.listeners.by_name.values():
        group.listeners._hold(each)
        group.listeners.groups.note(each.group)
    after = Listeners(cast("Any", group.keeper))
    for name, each in group.listeners.by_name.items():
        after.adopt(name, metas[name], each.sock.dup().detach())
    after.groups.adopt({k.removeprefix("group/"): v for k, v in notes.items()})
    kept = after.groups.takers(f"127.0.0.1:{group.port}")
    assert [(each.generation, each.seat) for each in kept] == [(2, 0), (2, 1), (2, 2)]
    assert {each.leaving for each in after.of("app", 1)} == {True}
    own = {inode_of(each.sock) for each in kept}
    assert own == {inode_of(each.sock) for each in group.takers()}
    group.check()
    for each in after.by_name.values():
        each.sock.close()
