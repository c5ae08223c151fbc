"""Parking under every order of events: a client, a process, the kernel and the relay."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gapless.supervisor.relay.parking import INTERIM_BYTES
from rig.relay.world import HEAD_BYTES, Request, World

pieces = st.lists(st.sampled_from([1, HEAD_BYTES, 200, 700]), min_size=1, max_size=3)
requests = st.builds(
    lambda pieces, expects, answer: Request(
        (max(pieces[0], HEAD_BYTES), *pieces[1:]) if expects else tuple(pieces),
        expects and len(pieces) > 1,
        tuple(answer),
    ),
    pieces,
    st.booleans(),
    st.lists(st.sampled_from([10, 26, 40, 5000]), min_size=1, max_size=3).filter(
        lambda found: sum(found) > INTERIM_BYTES
    ),
)
WAKE = 93
CLOCK = (1, 4, 30, 250, 1100, 6000)


def explore(draw: Any, requests: list[Request], *, blocks: bool, before: int) -> None:
    """Take one way through a world, then let it run out."""
    world = World(requests, blocks, draw(st.sampled_from([1024, 4096]), "buffer"))
    world.begin()
    for step in draw(
        st.lists(st.integers(0, 99), min_size=before, max_size=150), "steps"
    ):
        moves = [*world.moves(), "relay", "relay"]
        what = "clock" if step > 93 else moves[step % len(moves)]
        if step == WAKE:
            world.wake()
        elif what == "clock":
            world.pass_time(CLOCK[step - 94])
        elif what == "relay":
            next(world.walk, None)
        else:
            world.move(what)
        if world.taken is not None and not world.moves():
            break
    world.run_out()


@pytest.mark.parametrize("blocks", [False, True], ids=["event loop", "blocking reader"])
@given(data=st.data(), requests=st.lists(requests, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_only_whole_requests_are_taken_and_none_is_left_waiting(
    data: st.DataObject, requests: list[Request], *, blocks: bool
) -> None:
    """In each order of events that was tried."""
    explore(data.draw, requests, blocks=blocks, before=20)


@pytest.mark.soak
@pytest.mark.parametrize("blocks", [False, True], ids=["event loop", "blocking reader"])
@given(data=st.data(), requests=st.lists(requests, min_size=1, max_size=4))
@settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))
def test_only_whole_requests_are_taken_in_many_more_orders(
    data: st.DataObject, requests: list[Request], *, blocks: bool
) -> None:
    """The same, for minutes."""
    explore(data.draw, requests, blocks=blocks, before=60)
