"""The supervisor's end of the lines, with real sockets: loss, return, and garbage."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.model import Mode

KEY = "app/1/0/1"


class Rig:
    """The connections, and one process that connects: this one."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.told: list[Counts | None] = []
        keeper: Any = None  # only for a socket that it is to hold
        self.connections = DrainConnections(
            self.selector, keeper, lambda key, _: key == KEY, self.changed
        )
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"\0gapless-test/{os.urandom(8).hex()}")
        listener.listen()
        self.listener = listener
        self.connections.adopt(listener)
        self.lines: list[socket.socket] = []

    def changed(self, key: str, total: Counts | None, ready: bool) -> None:
        """Note what is known."""
        del key, ready
        self.told.append(total)

    def turn(self) -> None:
        """Hear all that there is."""
        while events := self.selector.select(0):
            for each, _ in events:
                heard: Callable[[], None] = each.data
                heard()

    def connect(self) -> socket.socket:
        """Return a line that has said whose it is."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.connect(self.listener.getsockname())
        self.lines.append(line)
        self.say(line, {"hello": 1, "instance": KEY})
        return line

    def say(self, line: socket.socket, said: dict[str, Any]) -> None:
        """Say one thing, and let it be heard."""
        line.sendall(json.dumps(said).encode() + b"\n")
        self.turn()

    def close(self) -> None:
        """Close everything."""
        for line in self.lines:
            line.close()
        self.turn()
        self.listener.close()
        self.selector.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return one, and close it."""
    found = Rig()
    yield found
    found.close()


def counts(procedures: int, finished: int, **named: Any) -> dict[str, Any]:
    """Return what a process says while it drains."""
    return {
        "mode": "handoff",
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
    """It lives, and tells the same again: nothing was cut, nothing finished twice."""
    line = rig.connect()
    rig.connections.order(KEY, Mode.HANDOFF)
    rig.say(line, counts(1, 5))
    assert sums(rig) == (1, 5, 0)
    line.close()
    if not back_before_the_loss_is_seen:
        rig.turn()
        assert sums(rig) == (0, 5, 1)  # for all that is known
    again = rig.connect()
    rig.say(again, counts(1, 6))
    assert sums(rig) == (1, 6, 0)
    again.close()
    rig.turn()
    assert sums(rig) == (0, 6, 1)


def test_ages_beyond_any_clock_are_not_believed(rig: Rig) -> None:
    """They have no date: whoever lists procedures would stumble over them."""
    line = rig.connect()
    for for_s in (float("inf"), 10**400, float("nan"), 1e18):
        running = [{"kind": "procedure", "name": "p", "for_s": for_s}]
        rig.say(line, counts(1, 0, running=running))
    rig.say(line, {"mode": "handoff", "procedures": 10**4000})
    assert list(rig.connections.running(KEY)) == []
    assert sums(rig) == (0, 0, 0)


def test_names_are_plain_text(rig: Rig) -> None:
    """No end of a line, no commands for a terminal, no halves of characters."""
    line = rig.connect()
    name = "a\x1b[2Jb\nc\ud800d \N{SNOWMAN}"
    running = [{"kind": "procedure", "name": name, "for_s": 1}]
    longest = {"kind": "procedure", "name": name, "for_s": 1}
    rig.say(line, counts(1, 0, running=running, longest=longest))
    total = rig.connections.counts_of(KEY)
    assert total is not None
    assert total.longest is not None
    mark = "\N{REPLACEMENT CHARACTER}"
    assert total.longest["name"] == f"a{mark}[2Jb{mark}c{mark}d \N{SNOWMAN}"


def test_the_longest_names_fit_in_a_line(rig: Rig) -> None:
    """Twelve bytes a character, as JSON may write them; a line too long is hung up."""
    line = rig.connect()
    named = {"kind": "procedure", "name": "\N{GRINNING FACE}" * 200, "for_s": 1.5}
    said = counts(20, 20, running=[named] * 20, longest=named)
    said["finished"]["named"] = [named] * 20
    encoded = json.dumps(said).encode() + b"\n"
    assert len(encoded) > 65536
    line.setblocking(False)
    while encoded:
        encoded = encoded[line.send(encoded[:9000]) :]
        rig.turn()
    assert sums(rig) == (20, 20, 0)


def test_a_mistake_of_who_waits_is_not_taken_for_garbage(rig: Rig) -> None:
    """It is ours, and must be seen."""
    line = rig.connect()

    def then() -> None:
        raise ValueError("ours")

    rig.connections.ask(then)
    with pytest.raises(ValueError, match="ours"):
        rig.say(line, counts(0, 0))
