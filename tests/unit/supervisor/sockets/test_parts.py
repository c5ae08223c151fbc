"""Apps that share an address: who gets a connection, by the kernel."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from gapless.supervisor.relay.queue import Relay
from gapless.supervisor.relay.sockets import TTLS, connect_as
from gapless.supervisor.sockets import parts, steering
from gapless.supervisor.sockets.addresses import RefusedError
from gapless.supervisor.sockets.groups import later
from gapless.supervisor.sockets.listener import Listener, meta_of
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.parts import Part
from tests.unit.supervisor.sockets.test_affinity import group
from tests.unit.supervisor.sockets.test_calls_by_name import Keeper

MANY = 60
"""So many connections come to one of two alike with a chance of 1 in 10^18."""


def counted(found: list[socket.socket], count: int = MANY) -> list[int]:
    """Return how many of new connections each socket gets."""
    counts = [0] * len(found)
    for _ in range(count):
        with socket.create_connection(found[0].getsockname()[:2], 5):
            for place, sock in enumerate(found):
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.accept()[0].close()
                    counts[place] += 1
    return counts


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_the_kernel_deals_connections_out_as_often_as_instances_accept(
    host: str,
) -> None:
    """Who has nobody, or is closed, gets none; what is carried comes to its own app."""
    with group(host, 4) as found:
        both = [Part(index=3, number=0, accepting=3), Part(index=1, number=1)]
        steering.attach(found[0], parts.choose(both))
        first = counted(found, 200)
        assert first[0] == first[2] == 0
        assert 20 < first[1] < first[3] / 1.5
        away = [Part(index=3, number=0, accepting=0), Part(index=1, number=1)]
        steering.attach(found[0], parts.choose(away))
        assert counted(found) == [0, MANY, 0, 0]
        steering.attach(found[0], parts.choose(both, avoided=3))
        assert counted(found) == [0, MANY, 0, 0]
        closed = [Part(index=3, number=0, closed=True), Part(index=1, number=1)]
        steering.attach(found[0], parts.choose(closed))
        with socket.create_connection(("127.0.0.1", found[0].getsockname()[1])) as one:
            taken, _ = found[1].accept()
            TTLS[taken] = parts.ttl_of(0)
            with taken, connect_as(taken) as carried:
                found[3].setblocking(True)
                found[3].accept()[0].close()
                assert carried.getpeername()[1] == one.getpeername()[1]
        with socket.socket() as another:  # a host that chooses the time to live
            another.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, parts.ttl_of(0))
            another.bind(("127.0.0.5", 0))
            another.connect(("127.0.0.1", found[0].getsockname()[1]))
            found[1].accept()[0].close()


@pytest.mark.parametrize(
    ("host", "target"), [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")]
)
def test_what_waits_goes_on_to_any_app_and_what_is_carried_to_its_own(
    host: str, target: str
) -> None:
    """The first packet of a connection says which it is."""
    with group(host, 1) as found, contextlib.ExitStack() as stack:
        relay = Relay(found[0], 0.2, 30.0, ttl=parts.ttl_of(5))
        clients = []
        for saved, ttl in ((False, 0), (True, 0), (True, parts.ttl_of(3)), (True, 255)):
            if saved:
                steering.save_syn(found[0])
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            client = stack.enter_context(socket.socket(family))
            if ttl and family == socket.AF_INET6:
                client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
            elif ttl:
                client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            client.connect((target, found[0].getsockname()[1]))
            clients.append(stack.enter_context(found[0].accept()[0]))
        ttls = [relay._app_of(each) for each in clients]
        assert ttls == [parts.ttl_of(5), 0, parts.ttl_of(3), 0]


def test_what_comes_from_elsewhere_is_carried_for_no_app() -> None:
    """Neither if its first packet was not saved, as by SYN cookies, nor by its value."""
    with group("127.0.0.1", 1) as found:
        relay = Relay(found[0], 0.2, 30.0, ttl=parts.ttl_of(5))
        for saved in (False, True):
            if saved:
                steering.save_syn(found[0])
            with socket.socket() as client:
                client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, parts.ttl_of(3))
                client.bind(("127.0.0.5", 0))
                client.connect(found[0].getsockname())
                with found[0].accept()[0] as taken:
                    assert relay._app_of(taken) == 0


def test_somebody_gets_it_in_any_case() -> None:
    """Where all are closed, or all have nobody, connections wait as at one app's port."""
    nobody = [
        Part(index=0, number=0, accepting=0),
        Part(index=1, number=1, accepting=0),
    ]
    assert parts.shares(nobody) == [(0, 1), (1, 1)]
    closed = [
        Part(index=0, number=0, closed=True),
        Part(index=1, number=1, closed=True),
    ]
    assert parts.shares(closed) == [(0, 1), (1, 1)]
    assert parts.shares([nobody[0], closed[1]]) == [(0, 1)]
    assert parts.shares([Part(index=2, number=0, accepting=4)], avoided=2) == [(2, 4)]


class Apps:
    """Two apps of one port."""

    def __init__(self) -> None:
        self.keeper = Keeper()
        self.listeners = Listeners(cast("Any", self.keeper))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])

    def bind(
        self, app: str, number: int, word: str = "web", host: str = "127.0.0.1"
    ) -> Listener:
        """Let a generation bind and listen."""
        with socket.socket() as sock:
            at = host, self.port, sock
            self.listeners.bind(app, number, *at, by=f"{app}/{number}", shared_as=word)
            found = self.listeners.by_inode(app, number, sock)
        assert found is not None
        self.listeners.listen(found)
        return found

    def serve(self, app: str, number: int) -> Listener:
        """Let a generation bind, listen and serve."""
        found = self.bind(app, number)
        self.listeners.steer(app, number)
        return found

    def close(self, app: str, number: int) -> None:
        """Let the sockets of a generation go."""
        for each in self.listeners.of(app, number):
            self.listeners.leave(each)

    def answer(self) -> None:
        """Let the keeper do what it was told, until nothing is left."""
        while self.keeper.released:
            self.listeners.left(self.keeper.released.pop(0))

    def takers(self) -> set[tuple[str, int]]:
        """Return which generations get new connections, of those that listen."""
        found = [e for e in self.listeners.by_name.values() if e.listening]
        counts = counted([each.sock for each in found])
        assert sum(counts) == MANY
        return {
            (each.app, each.generation)
            for each, count in zip(found, counts, strict=True)
            if count
        }


@pytest.fixture
def apps() -> Iterator[Apps]:
    """Yield apps, and close their sockets."""
    found = Apps()
    yield found
    for each in found.listeners.by_name.values():
        each.sock.close()


def test_an_app_gets_its_part_when_it_serves(apps: Apps) -> None:
    """Neither the trial of a first start nor that of a reload gets a connection."""
    apps.serve("a", 1)
    apps.bind("b", 1)
    assert apps.takers() == {("a", 1)}
    apps.listeners.steer("b", 1)
    assert apps.takers() == {("a", 1), ("b", 1)}
    apps.bind("a", 2)
    assert apps.takers() == {("a", 1), ("b", 1)}
    apps.listeners.steer("a", 2)
    assert apps.takers() == {("a", 2), ("b", 1)}
    apps.listeners.steer("a", 1)  # the way back
    assert apps.takers() == {("a", 1), ("b", 1)}


def test_who_was_first_and_is_not_ready_gives_way(apps: Apps) -> None:
    """Alone at its port it would have the connections that come before it is ready."""
    apps.bind("a", 1)
    apps.serve("b", 1)
    assert apps.takers() == {("b", 1)}
    apps.listeners.steer("a", 1)
    assert apps.takers() == {("a", 1), ("b", 1)}


def test_no_trial_gets_a_connection_while_sockets_leave(apps: Apps) -> None:
    """In no order: between the close of a socket and the next program neither."""
    seen: list[set[tuple[str, int]]] = []
    groups: Any = apps.listeners.groups
    leave = groups.leave

    def checked(listener: Listener) -> None:
        seen.append(apps.takers())
        leave(listener)

    groups.leave = checked
    apps.serve("a", 1)
    apps.serve("b", 1)
    for number in range(2, 6):
        apps.bind("b", number)  # a trial, which fails
        apps.serve("a", number)  # it comes last, and moves when another one leaves
        apps.close("a", number - 1)
        apps.answer()
        apps.serve("b", number + 10)
        apps.close("b", number)
        apps.close("b", 1 if number == 2 else number + 9)
        apps.answer()
        assert apps.takers() == {("a", number), ("b", number + 10)}
    trials = {("b", number) for number in range(2, 6)}
    assert len(seen) == 12
    assert not set().union(*seen) & trials


def test_sockets_of_a_shared_address_leave_one_by_one(apps: Apps) -> None:
    """Else nobody knows their order if the supervisor dies then."""
    for name in ("a", "b"):
        apps.serve(name, 1)
        apps.serve(name, 2)
    apps.close("a", 1)
    apps.close("b", 1)
    for app in ("a", "b"):
        (name,) = apps.keeper.released
        assert apps.listeners.by_name[name].app == app
        apps.listeners.left(apps.keeper.released.pop())
    assert not apps.keeper.released
    assert apps.takers() == {("a", 2), ("b", 2)}


def test_a_stop_leaves_all_to_the_other_and_the_last_closes_the_port(
    apps: Apps,
) -> None:
    """The order of both does not matter, nor that both are closed at once for a while."""
    for stays, goes in (("a", "b"), ("b", "a")):
        apps.serve("a", 1)
        apps.serve("b", 1)
        apps.listeners.quiesce(goes, 1, for_good=True)
        assert apps.takers() == {(stays, 1)}
        apps.close(goes, 1)
        assert apps.takers() == {(stays, 1)}
        apps.answer()
        assert apps.takers() == {(stays, 1)}
        apps.listeners.quiesce(stays, 1, for_good=True)
        apps.close(stays, 1)
        apps.answer()
        assert not apps.listeners.by_name
        assert not apps.listeners.groups.orders
        assert not apps.listeners.groups.leads.of(f"127.0.0.1:{apps.port}")


def test_a_recycle_leaves_all_to_the_other_meanwhile(apps: Apps) -> None:
    """Also where the other is recycled at the same time, and comes back first."""
    apps.serve("a", 1)
    apps.serve("b", 1)
    apps.listeners.quiesce("a", 1, for_good=False)
    assert apps.takers() == {("b", 1)}
    apps.listeners.quiesce("b", 1, for_good=False)
    apps.listeners.resume("b", 1)
    apps.answer()
    assert apps.takers() == {("b", 1)}
    apps.listeners.resume("a", 1)
    apps.answer()
    assert apps.takers() == {("a", 1), ("b", 1)}


def test_an_app_without_instances_leaves_all_to_the_other(apps: Apps) -> None:
    """Until the next one listens."""
    own = apps.serve("a", 1)
    apps.serve("b", 1)
    apps.listeners.groups.set_accepting(own, 0)
    assert apps.takers() == {("b", 1)}
    apps.listeners.groups.set_accepting(own, 2)
    assert apps.takers() == {("a", 1), ("b", 1)}


@pytest.mark.parametrize(
    ("first", "second", "host"),
    [
        ("", "web", "127.0.0.1"),
        ("web", "", "127.0.0.1"),
        ("web", "shop", "127.0.0.1"),
        ("", "", "127.0.0.1"),
        ("web", "web", "0.0.0.0"),
    ],
)
def test_an_address_is_shared_only_where_both_say_so(
    apps: Apps, first: str, second: str, host: str
) -> None:
    """By the same word; what is wider is another address."""
    apps.bind("a", 1, first)
    with pytest.raises(RefusedError, match=r"b: .* belongs to the app a"):
        apps.bind("b", 1, second, host)
    assert {each.app for each in apps.listeners.by_name.values()} == {"a"}


def test_apps_of_two_users_share_no_address(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel would say no as well, but not why."""
    first = apps.bind("a", 1)
    others = os.stat_result((0, 0, 0, 0, os.getuid() + 1, 0, 0, 0, 0, 0))
    real = os.fstat
    monkeypatch.setattr(
        os, "fstat", lambda n: others if n == first.sock.fileno() else real(n)
    )
    with pytest.raises(RefusedError, match=r"b: .* belongs to the app a"):
        apps.bind("b", 1)


def test_a_release_that_shares_no_more_is_refused_while_the_other_is_there(
    apps: Apps,
) -> None:
    """Its app goes on as before."""
    apps.serve("a", 1)
    apps.serve("b", 1)
    with pytest.raises(RefusedError, match=r"a: .* belongs to the app b"):
        apps.bind("a", 2, "")
    assert apps.takers() == {("a", 1), ("b", 1)}


def test_apps_of_an_address_have_numbers_of_their_own(apps: Apps) -> None:
    """All generations of one have the same; the last number that is free is the limit."""
    names = [f"app-{number}" for number in range(parts.MOST_APPS)]
    numbers = {name: apps.bind(name, 1).number for name in names}
    assert sorted(numbers.values()) == list(range(parts.MOST_APPS))
    assert apps.bind("app-7", 2).number == numbers["app-7"]
    with pytest.raises(RefusedError, match="32 apps share"):
        apps.bind("one more", 1)


def test_whoever_follows_goes_on_with_the_parts(apps: Apps) -> None:
    """Of two notes of the group the later one counts; a socket that is gone is followed."""
    apps.serve("a", 1)
    other = apps.serve("b", 1)
    older = {f"127.0.0.1:{apps.port}": apps.listeners.groups.value(own(apps))}
    apps.bind("b", 2)
    apps.listeners.groups.set_accepting(other, 0)  # so nobody else takes
    apps.listeners.quiesce("a", 1, for_good=False)
    newer = {f"127.0.0.1:{apps.port}": apps.listeners.groups.value(own(apps))}
    notes: dict[str, Any] = {}
    for noted in (newer, older, {own(apps): None}):
        later(notes, noted)
    assert notes == newer
    after = Listeners(cast("Any", Keeper()))
    for name, each in apps.listeners.by_name.items():
        if not each.shut:
            after.adopt(name, meta_of(each), each.sock.dup().detach())
    for each in apps.listeners.by_name.values():
        if each.shut:
            each.sock.shutdown(socket.SHUT_RD)
    after.groups.adopt(notes)
    before, apps.listeners = apps.listeners, after
    assert apps.takers() == {("a", 1), ("b", 1)}
    apps.listeners.steer("b", 2)
    assert apps.takers() == {("a", 1), ("b", 2)}
    for each in before.by_name.values():
        each.sock.close()


def own(apps: Apps) -> str:
    """Return the group of the apps."""
    return f"127.0.0.1:{apps.port}"


def test_whoever_follows_gives_parts_that_nobody_noted(apps: Apps) -> None:
    """As after an older supervisor; the one that was steered last had all there."""
    apps.serve("a", 1)
    apps.serve("b", 1)
    apps.bind("b", 2)  # a trial
    apps.listeners.groups.leads.leave(apps.listeners.of("a", 1)[0])
    apps.listeners.groups.prepare(own(apps))
    assert apps.takers() == {("b", 1)}
    for name in ("a", "b"):
        apps.listeners.groups.take_parts(name, 1)
    assert apps.takers() == {("a", 1), ("b", 1)}


def test_who_was_first_has_no_part_before_it_is_steered(apps: Apps) -> None:
    """So it is steered when it listens late; the trial of another app had it before."""
    first = apps.bind("a", 1)
    assert not apps.listeners.groups.has_its_part(first)
    second = apps.bind("b", 1)
    assert apps.listeners.steer_one(second) == 1
    assert apps.listeners.groups.has_its_part(second)
    assert not apps.listeners.groups.has_its_part(first)
    apps.listeners.steer_one(first)
    assert apps.takers() == {("a", 1), ("b", 1)}


def test_an_app_has_one_number_at_all_addresses_of_a_port(apps: Apps) -> None:
    """The relay knows a connection by its port."""
    assert apps.bind("a", 1).number == 0
    assert apps.bind("b", 1, host="127.0.0.2").number == 1
    assert apps.bind("a", 1, host="127.0.0.2").number == 0
    assert apps.bind("b", 1).number == 1


def test_a_stop_makes_no_socket_where_others_take(apps: Apps) -> None:
    """The supervisor may not be of the app's user; both stops at once need one each."""
    first, second = apps.serve("a", 1), apps.serve("b", 1)
    apps.listeners.quiesce("a", 1, for_good=True)
    assert list(apps.listeners.by_name.values()) == [first, second]
    assert meta_of(first)["quiesced"]
    assert apps.takers() == {("b", 1)}
    apps.listeners.reopen("a", 1)  # as when that was not noted
    assert apps.takers() == {("a", 1), ("b", 1)}
    apps.listeners.quiesce("a", 1, for_good=True)
    apps.listeners.quiesce("b", 1, for_good=True)
    shut = [each.app for each in apps.listeners.by_name.values() if each.shut]
    assert sorted(shut) == ["a", "b"]
    leads = apps.listeners.groups.leads.sockets(own(apps))
    assert all(each.shut for each in leads)


def test_a_shut_socket_is_of_the_user_of_its_app(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the kernel refuses it where the supervisor is root."""
    given: list[tuple[int, int]] = []
    first, real = apps.serve("a", 1), os.fstat
    other = os.stat_result((0, 0, 0, 0, os.getuid() + 1, 0, 0, 0, 0, 0))
    monkeypatch.setattr(
        os, "fstat", lambda n: other if n == first.sock.fileno() else real(n)
    )
    monkeypatch.setattr(os, "fchown", lambda _, *ids: given.append(ids))
    apps.listeners.quiesce("a", 1, for_good=True)
    assert given == [(os.getuid() + 1, -1)]


def test_who_shuts_its_socket_down_harms_no_release_of_the_other(apps: Apps) -> None:
    """The kernel has taken it out; once it listens again it has its part again."""
    first = apps.serve("a", 1)
    apps.serve("b", 1)
    first.sock.shutdown(socket.SHUT_RD)
    apps.bind("b", 2)  # a trial
    assert apps.takers() == {("b", 1)}
    apps.listeners.steer("b", 2)
    assert apps.takers() == {("b", 2)}
    apps.close("b", 1)
    apps.answer()
    apps.bind("b", 3)
    assert apps.takers() == {("b", 2)}
    apps.listeners.listen(first)
    apps.listeners.steer_one(first)
    assert apps.takers() == {("a", 1), ("b", 2)}
    apps.close("a", 1)
    apps.answer()
    assert apps.takers() == {("b", 2)}
