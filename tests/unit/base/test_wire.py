"""Messages between processes of one host, on a real socket."""

from __future__ import annotations

import socket

import pytest

from gapless.base.wire import Channel


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
