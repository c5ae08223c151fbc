"""What keeper and guardian send each other, and what a hostile sender would."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.keeper.guardian import frames
from gapless.keeper.guardian.frames import Frame


def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a line."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@pytest.mark.parametrize("size", [0, 10, frames.LARGEST_BYTES, 3 << 20])
def test_a_frame_arrives_as_it_was_sent(size: int) -> None:
    """Whatever the name, however large the value, with its descriptors."""
    near, far = pair()
    name, value = "note/\udcffaé\0b", os.urandom(size)
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    with near, far:
        sent = Frame(kind="put", name=name, number=-5, value=value, descriptors=opened)
        frames.send(near, sent)
        found = frames.receive(far)
    assert (found.kind, found.name, found.number) == ("put", name, -5)
    assert found.value == value
    assert len(found.descriptors) == 4
    for each in (*opened, *found.descriptors):
        assert not os.get_inheritable(each)
        os.close(each)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    """A frame, ValueError or the end."""
    near, far = pair()
    with near, far:
        near.send(raw)
        try:
            frames.receive(far)
        except (ValueError, EOFError):
            return
