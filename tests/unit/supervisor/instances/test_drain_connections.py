"""The supervisor's drain connections on real sockets: loss, return, wrong messages."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.base import wire
from gapless.base.names import Home
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Mode

KEY = "app/1/0/1"


class Rig:
    """The supervisor's drain connections, and this process as the one that connects."""

    def __init__(self, directory: Path) -> None:
        self.selector = selectors.DefaultSelector()
        self.totals: list[Counts | None] = []
        self.path = f"{directory}/drain.sock"
        self.near, self.keeper = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        keeper = KeeperConnection(wire.Channel(self.near))
        self.connections = DrainConnections(
            self.selector,
            keeper,
            lambda key, _: key == KEY,
            self.changed,
            home=Home(str(directory)),
            is_ours=lambda: True,
        )
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"\0gapless-test/{os.urandom(8).hex()}")
        listener.listen()
        self.listener = listener
        self.connections.adopt(listener)
        self.sockets: list[socket.socket] = []

    def changed(self, key: str, total: Counts | None, ready: bool) -> None:
        """Record the counts that the supervisor has now."""
        del key, ready
        self.totals.append(total)

    def process_events(self) -> None:
        """Process events until none is left."""
        while events := self.selector.select(0):
            for each, _ in events:
                process: Callable[[], None] = each.data
                process()

    def connect(self, path: str = "", **more: Any) -> socket.socket:
        """Return a connection that has named its instance."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path or self.listener.getsockname())
        self.sockets.append(connection)
        self.send(connection, {"hello": 1, "instance": KEY, **more})
        return connection

    def send(self, connection: socket.socket, message: dict[str, Any]) -> None:
        """Send one message and let the supervisor process it."""
        connection.sendall(json.dumps(message).encode() + b"\n")
        self.process_events()

    def close(self) -> None:
        """Close everything."""
        for each in self.sockets:
            each.close()
        self.process_events()
        self.connections.close()
        self.near.close()
        self.keeper.close()
        self.selector.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig; close it after the test."""
    (tmp_path / "drain.sock").touch()  # an earlier supervisor, killed, left it
    found = Rig(tmp_path)
    yield found
    found.close()


def counts(procedures: int, finished: int, **named: Any) -> dict[str, Any]:
    """Return the message of a process that drains."""
    named.setdefault("mode", "handoff")
    return {
        "procedures": procedures,
        "finished": {"procedures": finished},
        **named,
    }


def sums(rig: Rig) -> tuple[int, int, int]:
    """Return how many procedures run, have finished and were cut."""
    total = rig.connections.counts_of(KEY)
    assert total is not None
    return total.procedures, total.finished_procedures, total.cut_procedures


@pytest.mark.parametrize("back_before_the_loss_is_seen", [True, False])
def test_a_process_whose_line_broke_in_a_drain_counts_once(
    rig: Rig, back_before_the_loss_is_seen: bool
) -> None:
    """The process sends its counts again: nothing was cut, nothing is counted twice."""
    connection = rig.connect()
    rig.connections.order(KEY, Mode.HANDOFF)
    rig.send(connection, counts(1, 5))
    assert sums(rig) == (1, 5, 0)
    connection.close()
    if not back_before_the_loss_is_seen:
        rig.process_events()
        assert sums(rig) == (0, 5, 1)  # as far as the supervisor knows
    again = rig.connect()
    rig.send(again, counts(1, 6))
    assert sums(rig) == (1, 6, 0)
    again.close()
    rig.process_events()
    assert sums(rig) == (0, 6, 1)


def test_an_undrain_that_a_process_has_missed_is_sent_when_it_is_back(rig: Rig) -> None:
    """Its connection was down, so it refuses requests still."""
    connection = rig.connect()
    rig.connections.order(KEY, Mode.RECYCLE)
    connection.close()
    rig.process_events()
    rig.connections.order(KEY, Mode.SERVING)
    assert rig.connect().recv(100) == b"undrain\n"


def test_an_undrain_that_was_never_sent_is_sent_by_the_next_supervisor(
    rig: Rig,
) -> None:
    """It was killed once it had noted what it wanted."""
    rig.connections.restore(KEY, Mode.SERVING)
    assert rig.connect().recv(100) == b"undrain\n"


def test_a_process_that_hangs_is_asked_once(rig: Rig) -> None:
    """So its line never fills, and what it had under way stays known."""
    connection = rig.connect()
    rig.send(connection, counts(1, 0, mode="serving", requests=3))
    connection.recv(100)
    for _ in range(2000):
        rig.connections.ask(lambda: None)
        rig.process_events()
    assert connection.recv(100) == b"counts\n"
    rig.send(connection, counts(1, 0, mode="serving", requests=2))
    rig.connections.ask(lambda: None)
    assert connection.recv(100) == b"counts\n"


def test_what_a_process_had_counted_that_read_no_order_is_cut(rig: Rig) -> None:
    """Its line is ended here, and it is not known that it has finished anything."""
    connection = rig.connect()
    rig.send(connection, counts(1, 0, mode="serving", requests=3))
    for _ in range(2000):
        rig.connections.order(KEY, Mode.LEAVING)
    rig.connections.order(KEY, Mode.SERVING)
    rig.process_events()
    connection.settimeout(5)
    while connection.recv(4096):
        pass
    found = rig.connections.forget(KEY)
    assert found is not None
    assert (found.cut_requests, found.cut_procedures) == (3, 1)


def test_a_process_is_heard_when_it_has_answered_the_last_order(rig: Rig) -> None:
    """What it counts is younger then than what the kernel shows."""
    connection = rig.connect()
    assert not rig.connections.is_heard(KEY)
    rig.connections.order(KEY, Mode.HANDOFF)
    assert not rig.connections.is_heard(KEY)
    rig.send(connection, counts(1, 0))
    assert rig.connections.is_heard(KEY)
    rig.connections.order(KEY, Mode.RECYCLE)
    connection.close()
    rig.process_events()
    assert not rig.connections.is_heard(KEY)
    again = rig.connect()
    rig.send(again, counts(1, 0, mode="recycle"))
    assert rig.connections.is_heard(KEY)


def test_the_path_leads_to_the_same_socket_as_the_name(rig: Rig) -> None:
    """It takes the place of one that was left behind, and goes with its supervisor."""
    rig.send(rig.connect(rig.path), counts(1, 0))
    rig.send(rig.connect(), counts(2, 0))
    assert sums(rig) == (3, 0, 0)
    rig.connections.close()
    assert not os.path.exists(rig.path)


def test_ages_beyond_any_clock_are_not_believed(rig: Rig) -> None:
    """Such an age has no date, so a list of procedures would fail."""
    connection = rig.connect()
    for for_s in (float("inf"), 10**400, float("nan"), 1e18):
        running = [{"kind": "procedure", "name": "p", "for_s": for_s}]
        rig.send(connection, counts(1, 0, running=running))
    rig.send(connection, {"mode": "handoff", "procedures": 10**4000})
    assert list(rig.connections.running(KEY)) == []
    assert sums(rig) == (0, 0, 0)


def test_names_are_plain_text(rig: Rig) -> None:
    """Names hold no newline, no terminal command and no half of a surrogate pair."""
    connection = rig.connect()
    name = "a\x1b[2Jb\nc\ud800d \N{SNOWMAN}"
    running = [{"kind": "procedure", "name": name, "for_s": 1}]
    longest = {"kind": "procedure", "name": name, "for_s": 1}
    rig.send(connection, counts(1, 0, running=running, longest=longest))
    total = rig.connections.counts_of(KEY)
    assert total is not None
    assert total.longest is not None
    mark = "\N{REPLACEMENT CHARACTER}"
    assert total.longest["name"] == f"a{mark}[2Jb{mark}c{mark}d \N{SNOWMAN}"


def test_the_longest_names_fit_in_a_line(rig: Rig) -> None:
    """JSON may take twelve bytes for a character; a longer line ends the connection."""
    connection = rig.connect()
    named = {"kind": "procedure", "name": "\N{GRINNING FACE}" * 200, "for_s": 1.5}
    message = counts(20, 20, running=[named] * 20, longest=named)
    message["finished"]["named"] = [named] * 20
    encoded = json.dumps(message).encode() + b"\n"
    assert len(encoded) > 65536
    connection.setblocking(False)
    while encoded:
        encoded = encoded[connection.send(encoded[:9000]) :]
        rig.process_events()
    assert sums(rig) == (20, 20, 0)


def test_a_mistake_of_who_waits_is_not_taken_for_garbage(rig: Rig) -> None:
    """An error in a callback of the supervisor is a bug, and is raised."""
    connection = rig.connect()

    def then() -> None:
        raise ValueError("ours")

    rig.connections.ask(then)
    with pytest.raises(ValueError, match="ours"):
        rig.send(connection, counts(0, 0))


def test_who_counts_procedures_only_is_told_all_and_vouches_for_no_request(
    rig: Rig,
) -> None:
    """The kernel is asked for the rest, also where the preload counts the same process."""
    library = rig.connect(scope="procedures")
    assert rig.connections.pids(KEY) == frozenset()
    preload = rig.connect(scope="http")
    for each in (library, preload):
        rig.send(each, {"mode": "serving", "requests": 0, "procedures": 1})
    total = rig.connections.counts_of(KEY)
    assert total is not None
    assert (total.procedures, total.unable) == (2, 0)
    assert rig.connections.pids(KEY) == frozenset()
    rig.connections.order(KEY, Mode.RECYCLE)
    assert library.recv(999) == b"undrain\ndrain recycle\n"
    assert preload.recv(999) == b"undrain\ndrain handoff\n"
    library.close()
    rig.process_events()
    total = rig.connections.counts_of(KEY)
    assert total is not None
    assert total.unable == 1


@pytest.mark.parametrize("scope", [None, "", "all", 7, ["http"], {}])
def test_a_scope_that_nobody_knows_is_none(rig: Rig, scope: Any) -> None:
    """It counts all that it owes."""
    rig.connect(scope=scope)
    assert rig.connections.pids(KEY) == frozenset({os.getpid()})
