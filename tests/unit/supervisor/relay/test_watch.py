"""Bytes that come on a parked connection are seen though the kernel wakes nobody."""

from __future__ import annotations

import selectors
import socket

import pytest

from gapless.base import clock
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.connection import Connection, State
from gapless.supervisor.relay.run import wait_for_bytes
from gapless.supervisor.relay.takeover import Takeover
from rig import wait
from rig.relay.generations import Old, exchange, old, read_answer

FOREVER_S = 3600.0
"""The time limit of a test is over before this is."""
HALF = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nabc"


def states(takeover: Takeover) -> list[State]:
    """Return what is done with each connection."""
    return [each.state for each in takeover.connections.values()]


def parked(it: Old, selector: selectors.BaseSelector) -> tuple[Takeover, Connection]:
    """Return a takeover whose rounds the test takes, with its one parked connection."""
    takeover = Takeover(selector, it.aim(), lambda *_: None)

    def is_parked() -> bool:
        takeover.round(clock.monotonic())
        return states(takeover) == [State.PARKED]

    wait.until(is_parked, "it is parked")
    (each,) = takeover.connections.values()
    return takeover, each


def test_bytes_end_the_pause_once() -> None:
    """A request that is not whole is looked at in the rounds, and again when more comes."""
    with old("loop") as it, selectors.EpollSelector() as selector:
        client = it.clients[0]
        assert exchange(client) == b"old"
        takeover, each = parked(it, selector)
        wait.until(lambda: _rests(takeover), "it rests")
        client.sendall(HALF)
        assert wait_for_bytes(selector, [each], FOREVER_S) == 0.0
        takeover.round(clock.monotonic())
        assert states(takeover) == [State.PARKED]
        assert not each.has_changed()
        client.sendall(b"def")
        assert wait_for_bytes(selector, [each], FOREVER_S) == 0.0
        takeover.round(clock.monotonic())
        assert states(takeover) == [State.TAKEN]

        def is_over() -> bool:
            takeover.round(clock.monotonic())
            for ready, _ in selector.select(0):
                ready.data()
            return not takeover.connections

        wait.until(is_over, "it is answered")
        assert read_answer(client) == b"new"


def test_a_process_that_reads_in_spite_of_its_mark_is_noticed_once() -> None:
    """It has read what waited: the next round gives its connection back."""
    with old("loop") as it, selectors.EpollSelector() as selector:
        assert exchange(it.clients[0]) == b"old"
        takeover, each = parked(it, selector)
        wait.until(lambda: _rests(takeover), "it rests")
        it.clients[0].sendall(HALF)
        assert wait_for_bytes(selector, [each], FOREVER_S) == 0.0
        takeover.round(clock.monotonic())
        assert states(takeover) == [State.PARKED]
        assert each.sock.recv(len(HALF) + 1, socket.MSG_DONTWAIT) == HALF
        assert wait_for_bytes(selector, [each], FOREVER_S) == 0.0
        takeover.round(clock.monotonic())
        assert states(takeover) == [State.FREE]
        each.fail()


@pytest.mark.parametrize("count", [1, 20, 100])
def test_a_pause_ends_however_many_are_watched(count: int) -> None:
    """Nothing is left to wait for in the selector, which counts in milliseconds."""
    with old("loop") as it, selectors.EpollSelector() as selector:
        _, each = parked(it, selector)
        assert wait_for_bytes(selector, [each] * count, 0.001) == 0.0
        each.fail()


def _rests(takeover: Takeover) -> bool:
    takeover.round(clock.monotonic())
    return all(
        c._parking is not None and c._parking.idle
        for c in takeover.connections.values()
    )


def test_only_what_is_parked_and_was_busy_lately_is_watched() -> None:
    """The others have nothing to wait for, or were silent for long."""
    with old("loop") as it, selectors.EpollSelector() as selector:
        assert exchange(it.clients[0]) == b"old"
        takeover, each = parked(it, selector)
        each.attention.since = 100.0
        assert takeover.in_focus(100.05) == [each]
        assert takeover.in_focus(100.2) == []
        each.waits = True
        assert takeover.in_focus(100.05) == []
        each.waits, each.attention.since = False, None
        assert takeover.in_focus(100.05) == []
        each.fail()


def test_what_the_kernel_tells_ends_a_pause() -> None:
    """Where nobody is watched the whole pause is left to wait, in the selector."""
    with old("loop") as it, selectors.EpollSelector() as selector:
        _, each = parked(it, selector)
        selector.register(it.clients[0], selectors.EVENT_WRITE)
        assert wait_for_bytes(selector, [each], FOREVER_S) == 0.0
        assert wait_for_bytes(selector, [], FOREVER_S) == FOREVER_S
        selector.unregister(it.clients[0])
        each.fail()


def test_a_program_that_listens_on_its_connection_ends_the_pause() -> None:
    """Nothing can wait there: the next round meets the error, and lets go of it alone."""
    with old("loop") as it, selectors.EpollSelector() as selector:
        takeover, each = parked(it, selector)
        sockets.reset(each.sock)
        each.sock.listen()
        assert wait_for_bytes(selector, [each], FOREVER_S) == 0.0
        takeover.round(clock.monotonic())
        assert takeover.connections == {}
