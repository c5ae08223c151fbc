"""Messages between processes of one host, on a real socket."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gapless.base.wire import Channel, LackingError


def pair() -> tuple[Channel, Channel]:
    """Return the two ends of a connection."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ends[0]), Channel(ends[1])


@pytest.mark.parametrize("unread", [0, 1, 3])
def test_messages_sent_before_a_close_arrive_whatever_was_unread(unread: int) -> None:
    """The kernel resets a connection that is closed with something unread."""
    supervisor, keeper = pair()
    for op in ("release", "end"):
        supervisor.send({"op": op})
    for _ in range(unread):
        keeper.send({"event": "released"})
    supervisor.close()
    assert [keeper.receive()[0]["op"] for _ in range(2)] == ["release", "end"]
    with pytest.raises(EOFError):
        keeper.receive()
    keeper.close()


# --- out of descriptors -----------------------------------------------------------


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open nothing."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def fill(channel: Channel) -> int:
    """Send until messages wait; return how many were sent."""
    count = 0
    while not channel.outgoing:
        channel.send({"n": count, "text": "x" * 1000})
        count += 1
    return count


def drain(channel: Channel) -> list[tuple[dict[str, Any], int]]:
    """Return the messages that have come, each with its number of descriptors."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            message, descriptors = channel.receive()
            for descriptor in descriptors:
                os.close(descriptor)
            found.append((message, len(descriptors)))
    return found


def test_what_is_sent_at_once_needs_no_copy() -> None:
    """A process at its limit can still pass on what it has."""
    one, other = pair()
    with socket.socket() as sock, no_descriptor_left():
        one.send({"held": 1}, (sock.fileno(),))
        one.send({"held": 2}, (sock.fileno(),), lent=True)
    assert drain(other) == [({"held": 1}, 1), ({"held": 2}, 1)]
    one.close()
    other.close()


def test_a_message_that_cannot_be_queued_is_not_half_queued() -> None:
    """The sender gets the error, and the connection is as it was."""
    one, other = pair()
    count = fill(one)
    waiting = len(one.outgoing)
    full = pytest.raises(OSError, match="Too many open files")
    with socket.socket() as sock, no_descriptor_left(), full:
        one.send({"held": 1}, (sock.fileno(),))
    assert len(one.outgoing) == waiting
    found = drain(other)
    while one.outgoing:
        one.flush()
        found += drain(other)
    assert [message["n"] for message, _ in found] == list(range(count))
    one.close()
    other.close()


def test_what_is_lent_waits_without_a_copy_and_is_closed_when_sent() -> None:
    """Its owner gives it up meanwhile; it arrives, and nothing stays open."""
    one, other = pair()
    fill(one)
    lent = os.open("/dev/null", os.O_RDONLY)
    with no_descriptor_left():
        one.send({"lent": 1}, (lent,), lent=True)
        one.send({"lent": 2}, (lent,), lent=True)
        one.close_descriptor(lent)
    os.fstat(lent)
    found = drain(other)
    while one.outgoing:
        one.flush()
        found += drain(other)
    assert found[-2:] == [({"lent": 1}, 1), ({"lent": 2}, 1)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(lent)
    one.close()
    other.close()


def test_a_receiver_without_room_is_told_which_message_it_was() -> None:
    """The line is kept, and the next message comes."""
    one, other = pair()
    with socket.socket() as sock:
        one.send({"op": "hold", "name": "x"}, (sock.fileno(),))
        one.send({"op": "next"})
    with no_descriptor_left(), pytest.raises(LackingError) as caught:
        other.receive()
    assert caught.value.message == {"op": "hold", "name": "x"}
    assert drain(other) == [({"op": "next"}, 0)]
    one.close()
    other.close()


def test_a_peer_that_is_gone_is_a_connection_error() -> None:
    """Nothing else is."""
    one, other = pair()
    other.close()
    with pytest.raises(ConnectionError):
        one.send({"op": "end"})
    one.close()
