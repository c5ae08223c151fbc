"""A source address keeps its seat: by the kernel, as the module says it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from gapless.supervisor.kernel.source_buckets import bucket_of
from gapless.supervisor.relay.sockets import PORTS_BY_SOURCE, connect_as
from gapless.supervisor.sockets import affinity, steering

SOURCES = [f"127.0.{third}.{last}" for third in (0, 3) for last in range(2, 22)]


@contextlib.contextmanager
def group(host: str, count: int) -> Iterator[list[socket.socket]]:
    """Yield sockets that listen on one address, in the order of the kernel's indices."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    port = 0
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket(family))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, port))
            sock.listen(1024)
            sock.setblocking(False)
            port = sock.getsockname()[1]
            found.append(sock)
        yield found


def taker(found: list[socket.socket], source: str, target: str = "127.0.0.1") -> int:
    """Return which socket gets a connection from an address."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(5)
        client.bind((source, 0))
        client.connect((target, found[0].getsockname()[1]))
        for place, sock in enumerate(found):
            with contextlib.suppress(BlockingIOError):
                sock.accept()[0].close()
                return place
    raise AssertionError("nobody got it")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_an_address_reaches_the_seat_that_its_bucket_chooses(host: str) -> None:
    """On dual-stack sockets too, where IPv4 comes with its own header."""
    with group(host, 5) as found:
        indices, present = [4, 1, 3], [True, False, True]
        for there in ([True] * 3, present, [False] * 3):
            steering.attach(found[0], affinity.choose(indices, there))
            for source in SOURCES:
                bucket = bucket_of(source)
                expected = indices[affinity.seat_of(bucket, there)]
                assert taker(found, source) == expected
        if host == "::":
            place = affinity.seat_of(bucket_of("::1"), present)
            steering.attach(found[0], affinity.choose(indices, present))
            assert taker(found, "::1", "::1") == indices[place]


def test_only_the_addresses_of_a_vacant_seat_move() -> None:
    """And they are spread over the seats that are left."""
    sources = [f"10.1.{number // 250}.{number % 250}" for number in range(2000)]
    buckets = [bucket_of(source) for source in sources]
    every = [affinity.seat_of(bucket, [True] * 4) for bucket in buckets]
    without = [affinity.seat_of(b, [True, True, False, True]) for b in buckets]
    moved = [after for before, after in zip(every, without, strict=True) if before == 2]
    assert all(a == b for a, b in zip(every, without, strict=True) if a != 2)
    assert {each: every.count(each) > 400 for each in range(4)} == dict.fromkeys(
        range(4), True
    )
    assert min(moved.count(each) for each in (0, 1, 3)) > len(moved) / 5


def test_one_address_is_one_bucket_however_it_is_written() -> None:
    """IPv4 in IPv6 is what the packets have; a scope is no part of an address."""
    assert bucket_of("::ffff:10.0.0.7") == bucket_of("10.0.0.7")
    assert bucket_of("fe80::1%eth0") == bucket_of("fe80::1")
    many = {bucket_of(f"2001:db8::{number:x}") for number in range(1000)}
    assert len(many) > 850


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_what_the_relay_carries_comes_to_the_seat_of_its_client(host: str) -> None:
    """A few connections of one client too; and no other connection of this host does."""
    with group(host, 3) as found, contextlib.ExitStack() as stack:
        steering.attach(found[0], affinity.choose([0, 1, 2], [True] * 3))
        port = found[0].getsockname()[1]
        stack.callback(PORTS_BY_SOURCE.discard, port)
        PORTS_BY_SOURCE.add(port)
        for source in SOURCES[:6] * 2:
            place = affinity.seat_of(bucket_of(source), [True] * 3)
            client = stack.enter_context(socket.socket())
            client.bind((source, 0))
            client.connect(("127.0.0.1", port))
            taken = stack.enter_context(found[place].accept()[0])
            with connect_as(taken) as carried:
                carried.setblocking(True)
                found[place].accept()[0].close()
                assert carried.getpeername()[:2] == taken.getsockname()[:2]
            home = affinity.seat_of(bucket_of("127.0.0.1"), [True] * 3)
            assert taker(found, "127.0.0.1") == home


def test_a_probe_goes_before_the_choice() -> None:
    """Whatever its address is."""
    with group("127.0.0.1", 3) as found, socket.socket() as probe:
        probe.bind(("127.0.0.9", 0))
        port = probe.getsockname()[1]
        home = affinity.seat_of(bucket_of("127.0.0.9"), [True] * 3)
        other = (home + 1) % 3
        aimed = steering.aimed(steering.Probe("127.0.0.9", port, other))
        program = aimed + affinity.choose([0, 1, 2], [True] * 3)
        steering.attach(found[0], program)
        probe.connect(found[0].getsockname())
        found[other].accept()[0].close()
        assert taker(found, "127.0.0.9") == home


def test_as_many_seats_as_an_app_may_have() -> None:
    """The kernel takes the program, also while seats are vacant."""
    with group("127.0.0.1", 2) as found:
        many = [number % 2 for number in range(1024)]
        there = [number % 3 != 0 for number in range(1024)]
        steering.attach(found[0], affinity.choose(many, there))
        for source in SOURCES:
            place = affinity.seat_of(bucket_of(source), there)
            assert taker(found, source) == many[place]
