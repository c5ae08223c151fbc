"""Floods: what one process sends costs the others no more than its share of a turn."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.base import wire
from gapless.base.kernel import peer
from gapless.base.names import Home
from gapless.keeper.guardian.reserve import Reserve
from gapless.keeper.guardian.scratch import Scratch
from gapless.keeper.seccomp import waiting_calls
from gapless.keeper.seccomp.waiting_calls import Answer, WaitingCalls
from gapless.supervisor.instances import drain_connections, notify
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.memory import keeper_connection
from gapless.supervisor.memory.instances import MOST_BOUND, InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from rig.fixtures.interceptor import Interceptor
from rig.wait import until

KEY = "app/1/0/1"
PATIENCE_S = 5.0
"""Much longer than any of it takes here, and much shorter than the floods would."""


class Supervised:
    """The sockets that instances reach, on a loop of their own."""

    def __init__(self, directory: Path) -> None:
        self.asked = 0
        self.counted: list[Any] = []
        self.notified: list[notify.Notification] = []
        self.selector = selectors.DefaultSelector()
        near, self.keeper = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line = KeeperConnection(wire.Channel(near))
        home = Home(str(directory))
        self.drain = DrainConnections(
            self.selector,
            self.line,
            self.belongs,
            lambda _, total, __: self.counted.append(total),
            home=home,
            is_ours=lambda: True,
        )
        self.notify = NotifySockets(
            self.selector,
            self.line,
            lambda _, found: self.notified.append(found),
            speaks=lambda *_: True,
            home=home,
        )
        self.drain.open()
        self.sockets: list[socket.socket] = []

    def belongs(self, key: str, _: int) -> bool:
        """Count how often the kernel is asked whose a process is."""
        self.asked += 1
        return key == KEY

    def turn(self) -> int:
        """Do one turn of the loop; return how many were ready."""
        found = self.selector.select(0)
        for each, _ in found:
            call: Callable[[], None] = each.data
            call()
        return len(found)

    def turns(self) -> None:
        """Do turns until nothing is ready."""
        while self.turn():
            pass

    def connect(self) -> socket.socket:
        """Connect as a process of an app does."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.drain.address.replace("@", "\0", 1))
        self.sockets.append(sock)
        return sock

    def close(self) -> None:
        """Close everything."""
        for each in self.sockets:
            each.close()
        self.turns()
        self.notify.close_unknown(frozenset())
        self.drain.close()
        self.selector.close()
        self.line.channel.close()
        self.keeper.close()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    """Return what instances reach."""
    found = Supervised(tmp_path)
    yield found
    found.close()


def hello(key: str = KEY) -> bytes:
    """Return the first line of a process."""
    return json.dumps({"hello": 1, "instance": key}).encode() + b"\n"


def test_one_hello_of_a_connection_is_looked_into(supervised: Supervised) -> None:
    """To find out whose a process is means to read all of /proc, where no groups are."""
    line = supervised.connect()
    supervised.turns()
    line.sendall(hello("another/1/0/1") * 4000)
    supervised.turns()
    assert supervised.asked == 1
    line.sendall(b'{"ready": true}\n')
    supervised.turns()
    assert supervised.counted == []


def test_many_counts_are_summed_once_a_turn(supervised: Supervised) -> None:
    """The sums are of all processes of the instance."""
    line = supervised.connect()
    supervised.turns()
    line.sendall(hello())
    supervised.turns()
    before = len(supervised.counted)
    sent = b'{"mode": "serving", "requests": 1}\n' * 3000
    line.sendall(sent)
    supervised.turns()
    assert len(supervised.counted) - before <= len(sent) // 16384 + 2


def test_a_line_before_it_is_known_whose_it_is_has_few_bytes(
    supervised: Supervised,
) -> None:
    """Thousands of connections would hold a quarter of a megabyte each."""
    line = supervised.connect()
    supervised.turns()
    with contextlib.suppress(BrokenPipeError):
        line.sendall(b"x" * 20_000)
    supervised.turns()
    line.settimeout(PATIENCE_S)
    with contextlib.suppress(ConnectionResetError):
        assert line.recv(1) == b""


def test_strangers_do_not_push_out_others_who_come(supervised: Supervised) -> None:
    """Of those that do not say whose they are the oldest of the same user go first."""
    quiet = [supervised.connect() for _ in range(10)]
    supervised.turns()
    flood = []
    for _ in range(drain_connections.MOST_UNIDENTIFIED):
        flood.append(supervised.connect())
        supervised.turn()
    own = supervised.connect()
    own.sendall(hello())
    supervised.turns()
    assert supervised.counted
    for each in quiet:
        each.settimeout(PATIENCE_S)
        assert each.recv(1) == b""


def test_an_instance_has_only_so_many_connections(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One app cannot use up those of all."""
    monkeypatch.setattr(drain_connections, "MOST_OF_AN_INSTANCE", 3)
    lines = [supervised.connect() for _ in range(4)]
    for each in lines:
        each.sendall(hello())
        supervised.turns()
    lines[3].settimeout(PATIENCE_S)
    with contextlib.suppress(ConnectionResetError):
        assert lines[3].recv(1) == b""


def test_a_user_who_takes_all_connections_makes_room_for_others(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many instances of one user have as many together as there may be."""
    monkeypatch.setattr(drain_connections, "MOST_CONNECTIONS", 4)
    uids = iter([1, 1, 1, 1, 1, 2, 2, 2])
    monkeypatch.setattr(peer, "credentials_of", lambda _: (os.getpid(), next(uids)))
    lines = []
    for _ in range(8):
        lines.append(supervised.connect())
        with contextlib.suppress(BrokenPipeError):  # it was refused at once
            lines[-1].sendall(hello())
        supervised.turns()
    open_now = [each for each in lines if not _has_ended(each)]
    assert open_now == [*lines[:2], *lines[5:7]]


def _has_ended(line: socket.socket) -> bool:
    """Return whether the supervisor has closed a connection, whatever it sent before."""
    line.setblocking(False)
    try:
        while line.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def test_who_writes_on_for_ever_does_not_keep_an_end_waiting(
    supervised: Supervised,
) -> None:
    """What an instance has left behind may hold its connection, and write."""
    line = supervised.connect()
    line.sendall(hello())
    supervised.turns()
    writer = os.fork()
    if writer == 0:
        with contextlib.suppress(OSError):
            while True:
                line.sendall(b"{}\n" * 5000)
        os._exit(0)
    began = time.monotonic()
    try:
        supervised.drain.forget(KEY)
        assert time.monotonic() - began < PATIENCE_S
        until(lambda: os.waitpid(writer, os.WNOHANG)[0] == writer, "its end")
    except BaseException:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        raise


def test_a_flood_of_notifications_leaves_the_others_their_turn(
    supervised: Supervised,
) -> None:
    """Some are taken in as one, and those without news are none."""
    path = supervised.notify.open_notify(KEY, os.geteuid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(path)
        with contextlib.suppress(BlockingIOError):
            for number in range(1000):
                sender.send(b"READY=1\nSTATUS=%d" % number)
        assert supervised.turn() == 1
        assert len(supervised.notified) == 1
        assert supervised.notified[0].ready


def test_nobody_can_send_descriptors_to_the_drain_socket(
    supervised: Supervised,
) -> None:
    """The kernel refuses them, from Linux 6.16 on: also to what is not accepted yet."""
    line = supervised.connect()
    read_end, write_end = os.pipe()
    try:
        if peer.refuse_descriptors(line):
            with pytest.raises(PermissionError):
                socket.send_fds(line, [b"x\n"], [read_end])
    finally:
        os.close(read_end)
        os.close(write_end)


@pytest.mark.parametrize("kind", ["notify", "channel", "drain"])
def test_descriptors_are_closed_and_hold_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Not those of a socket that closes in ten minutes either (SO_LINGER)."""
    monkeypatch.setattr(peer, "refuse_descriptors", lambda _: False)  # an older kernel
    supervised = Supervised(tmp_path)
    sender: socket.socket
    if kind == "notify":
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.connect(supervised.notify.open_notify(KEY, os.geteuid()))
    elif kind == "channel":
        sender = supervised.notify.open_channel(KEY)
    else:
        sender = supervised.connect()
        supervised.turns()
    with contextlib.closing(supervised), sender, lingering() as stuck:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            socket.send_fds(sender, [b"x\n"], [stuck.fileno()] * 200)
        stuck.close()
        began = time.monotonic()
        for _ in range(4):
            supervised.turn()
        supervised.notify.close(KEY)
        assert time.monotonic() - began < PATIENCE_S
        until(lambda: len(os.listdir("/proc/self/fd")) < before + 20, "their end")


@contextlib.contextmanager
def lingering() -> Iterator[socket.socket]:
    """Give a connection whose last close waits until the peer has read it all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stuck = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        stuck.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                stuck.send(bytes(1 << 16))
        try:
            yield stuck
        finally:
            # A reset ends what lingers.
            other.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            other.close()


def test_a_turn_takes_in_a_part_of_what_the_keeper_has_sent() -> None:
    """Programs that bind in a loop make it send much."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        line = KeeperConnection(wire.Channel(near))
        sent = 0
        far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sent < 2 * keeper_connection.MOST_EVENTS:
                far.send(b'{"event": "x"}')
                sent += 1
        taken = 0
        while taken < sent:
            found = len(line.events())
            assert 0 < found <= keeper_connection.MOST_EVENTS
            taken += found
        line.channel.close()


def test_what_a_program_binds_does_not_grow_without_end() -> None:
    """Each is in the note of its app, which is written at each change."""
    instance = InstanceRecord(key=KEY, ordinal=0, started=0.0)
    for number in range(2 * MOST_BOUND):
        instance.has_bound(f"unix:@{number}")
    assert len(instance.bound) == MOST_BOUND


BINDS = """
import socket, threading
def bind(number):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", PORT))
    except OSError:
        pass
threads = [threading.Thread(target=bind, args=[n]) for n in range(200)]
for each in threads: each.start()
for each in threads: each.join()
print("all answered", flush=True)
"""


def test_an_instance_has_only_so_many_calls_that_wait(tmp_path: Path) -> None:
    """Threads that bind at once wait in the kernel, and are answered in turn."""
    sent: list[wire.Message] = []

    def send(message: wire.Message, *_: int) -> None:
        sent.append(message)

    selector = selectors.DefaultSelector()
    calls = WaitingCalls(
        selector,
        {},
        send,
        lambda: True,
        reserve=Reserve(),
        scratch=Scratch.make(),
    )
    interceptor = Interceptor(str(tmp_path))
    try:
        spawned = interceptor.python(BINDS)
        calls.watch(KEY, os.dup(spawned.notify))
        answered = most = 0

        def turn() -> bool:
            nonlocal answered, most
            for _ in range(100):
                for ready, _ in selector.select(0):
                    ready.data()
            binds = [each for each in sent if each["event"] == "bind"]
            waiting = len(binds) - answered
            most = max(most, waiting)
            if waiting == waiting_calls.MOST_WAITING or len(binds) == 200:
                for each in binds[answered:]:
                    answer = Answer(key=KEY, id=each["id"], action="fail", errno=98)
                    calls.answer(answer)
                answered = len(binds)
            return answered == 200

        until(turn, "200 answers", 30)
        assert most == waiting_calls.MOST_WAITING
        calls.unwatch(KEY)
    finally:
        interceptor.close()
        selector.close()
