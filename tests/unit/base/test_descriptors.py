"""A process of ours may have more descriptors than select(2) knows numbers."""

from __future__ import annotations

import fcntl
import resource
import select
import socket
from collections.abc import Iterator

import pytest

from gapless.base import descriptors, wire
from gapless.supervisor.memory.keeper_connection import KeeperConnection

BEYOND = 1100


@pytest.fixture
def far() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection: the first has a number beyond 1023."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] <= BEYOND:
        pytest.skip("the hard limit is lower")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, BEYOND)
    one.close()
    with socket.socket(fileno=number) as one, other:
        yield one, other
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_descriptor_beyond_1023_is_waited_for(
    far: tuple[socket.socket, socket.socket],
) -> None:
    """It is ready, or it is not."""
    one, other = far
    assert not descriptors.is_ready(one.fileno(), select.POLLIN)
    other.send(b"x")
    assert descriptors.is_ready(one.fileno(), select.POLLIN)


def test_what_waits_for_the_keeper_is_sent_on_any_number(
    far: tuple[socket.socket, socket.socket],
) -> None:
    """Before the process of the supervisor ends or becomes another."""
    one, _ = far
    keeper = KeeperConnection(wire.Channel(one))
    while keeper.flush():
        keeper.note("app", "x" * 10_000 + str(keeper.channel.is_unread()))
        keeper.note("app", None)
    keeper.flush_within(0.05)
    assert not keeper.flush()
