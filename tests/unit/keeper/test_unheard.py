"""The keeper reads what instances notify, where no supervisor does."""

from __future__ import annotations

import os
import resource
import selectors
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from gapless.base import clock
from gapless.keeper.guardian.reserve import Reserve
from gapless.keeper.holding import unheard
from gapless.keeper.holding.unheard import Unheard

HIGH = 1100


class Keeper:
    """What the keeper has of one instance, on a clock of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: str) -> None:
        self.now = 100.0
        self.unread: bool | None = False
        self.sent: list[dict[str, Any]] = []
        self._selector = selectors.DefaultSelector()
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        self._reserve = Reserve()
        self.unheard = self._new()
        self.read_by_supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.read_by_supervisor.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.read_by_supervisor.setblocking(False)
        self.read_by_supervisor.bind(f"{directory}/notify")
        self.app = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.app.setblocking(False)
        self.app.connect(f"{directory}/notify")
        self._held = os.dup(self.read_by_supervisor.fileno())
        self.unheard.held("notify/app/1/0/1", self._held)
        self.unheard.held("socket/other", self._held)  # it is not of this kind

    def _new(self) -> Unheard:
        return Unheard(self._selector, self._send, lambda: self.unread, self._reserve)

    def holds(self, descriptor: int) -> None:
        """Hold the same socket by another number."""
        os.dup2(self._held, descriptor, inheritable=False)
        self.unheard.held("notify/app/1/0/1", descriptor)
        os.close(self._held)
        self._held = descriptor

    def dies(self) -> None:
        """Let another keeper go on with what outlives this one."""
        kept = self._reserve.named(unheard.READY)
        self.unheard.released("notify/app/1/0/1")
        for key, each in kept.items():
            self._reserve.put(f"{unheard.READY}{key}", each.value)
        self.unheard = self._new()
        self.unheard.held("notify/app/1/0/1", self._held)
        self.unheard.pass_on()

    def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def turn(self, pass_s: float = 0.0) -> None:
        """Take a turn of the keeper's loop after some time."""
        self.now += pass_s
        for ready, _ in self._selector.select(0):
            ready.data()
        self.unheard.look()

    def close(self) -> None:
        """Close all."""
        self.unheard.released("notify/app/1/0/1")
        os.close(self._held)
        self.read_by_supervisor.close()
        self.app.close()
        self._selector.close()

    def said(self) -> list[str]:
        """Return the datagrams that a supervisor was told of."""
        mine = (os.getpid(), os.getuid())
        found = [tuple(each) for message in self.sent for each in message["said"]]
        assert {each[:2] for each in found} <= {mine}
        self.sent.clear()
        return [str(each[2]) for each in found]


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """Return a keeper with a supervisor that has read all that it was sent."""
    with tempfile.TemporaryDirectory() as directory:
        found = Keeper(monkeypatch, directory)
        yield found
        found.close()


def test_what_a_supervisor_reads_is_left_to_it(keeper: Keeper) -> None:
    """The keeper looks once a second at most."""
    for _ in range(3):
        keeper.app.send(b"STATUS=x")
        keeper.turn()
        assert keeper.unheard.wait_s() == unheard.PATIENCE_S
        keeper.app.send(b"STATUS=y")
        keeper.turn()  # it does not wake up for this one
        assert keeper.read_by_supervisor.recv(100) == b"STATUS=x"
        assert keeper.read_by_supervisor.recv(100) == b"STATUS=y"
        keeper.turn(unheard.PATIENCE_S)
        assert keeper.unheard.wait_s() is None
    assert keeper.said() == []


@pytest.mark.parametrize("unread", [False, None])
def test_who_is_not_read_does_not_wait(keeper: Keeper, unread: bool | None) -> None:
    """The newest are kept, and that it is ready; they are passed on once."""
    keeper.unread = unread
    keeper.app.send(b"STATUS=first")
    keeper.turn()
    keeper.turn(unheard.PATIENCE_S)
    if unread is False:
        assert keeper.said() == ["STATUS=first"]
        keeper.unread = True  # it does not read that either
    keeper.app.send(b"READY=1\nSTATUS=ready")
    for number in range(500):
        keeper.app.send(b"STATUS=%d \xff" % number)
        keeper.turn()
    keeper.turn(10 * unheard.PATIENCE_S)
    assert keeper.said() == []
    if unread is None:
        assert keeper.unheard.wait_s() is None, "nothing to wake up for"
        keeper.unheard.supervisor_lost()
    keeper.unread = False
    keeper.unheard.pass_on()
    said = keeper.said()
    assert said[0] == "READY=1\nSTATUS=ready"
    newest = range(500 - unheard.MOST_KEPT, 500)
    assert said[1:] == [f"STATUS={number} \udcff" for number in newest]
    keeper.turn(10 * unheard.PATIENCE_S)
    assert keeper.said() == []


def test_a_sender_of_descriptors_keeps_no_one(keeper: Keeper) -> None:
    """BARRIER=1 is answered: its end of the pipe is closed."""
    keeper.unread = None
    read_end, write_end = os.pipe()
    socket.send_fds(keeper.app, [b"BARRIER=1"], [write_end])
    os.close(write_end)
    keeper.turn()
    assert os.read(read_end, 1) == b"", "nobody has the other end"
    os.close(read_end)


def test_a_descriptor_of_a_high_number_is_looked_at(keeper: Keeper) -> None:
    """As one of a keeper that has some 200 instances: select(2) takes none above 1023."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most <= HIGH:
        pytest.skip(f"the hard limit of open files is {most}")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], HIGH + 1), most))
    try:
        keeper.holds(HIGH)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    keeper.app.send(b"STATUS=x")
    keeper.turn()
    keeper.turn(unheard.PATIENCE_S)
    assert keeper.said() == ["STATUS=x"]


def test_who_is_ready_is_known_to_the_next_keeper(keeper: Keeper) -> None:
    """The datagram is in no socket any more, and no supervisor has noted it."""
    keeper.unread = None
    keeper.app.send(b"STATUS=x")
    keeper.app.send(b"READY=1\nSTATUS=ready \xff")
    keeper.turn()
    keeper.dies()
    assert keeper.said() == []
    keeper.unread = False
    keeper.unheard.pass_on()
    assert keeper.said() == ["READY=1\nSTATUS=ready \udcff"]


def test_every_supervisor_is_told_who_is_ready(keeper: Keeper) -> None:
    """One may have died before it noted it; one is told once."""
    keeper.unread = None
    keeper.app.send(b"READY=1")
    keeper.app.send(b"READY=1")
    keeper.turn()
    keeper.unread = False
    keeper.unheard.pass_on()
    assert keeper.said() == ["READY=1"]
    keeper.unheard.pass_on()
    assert keeper.said() == []
    keeper.unheard.supervisor_lost()
    keeper.unheard.pass_on()
    assert keeper.said() == ["READY=1"]
    keeper.dies()
    assert keeper.said() == ["READY=1"]


def test_the_ready_of_a_socket_that_is_held_anew_stays(keeper: Keeper) -> None:
    """A keeper that follows another holds again what that one had not confirmed."""
    keeper.unread = None
    keeper.app.send(b"READY=1")
    keeper.turn()
    keeper.holds(os.dup(keeper.read_by_supervisor.fileno()))
    keeper.unread = False
    keeper.unheard.pass_on()
    assert keeper.said() == ["READY=1"]
