"""Apps that share an address: what waits where nobody accepts goes on to the others."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.sockets.seats import SeatSockets
from tests.unit.supervisor.sockets.test_parts import MANY, Apps


class Relays:
    """Notes which relays are started."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []

    def is_running(self, *_: object) -> bool:
        """Return whether one runs; here each is over at once."""
        return False

    def start(self, app: AppRecord, *_: object, most: int, **__: object) -> None:
        """Start one."""
        self.started.append((app.name, most))


@pytest.fixture
def apps() -> Iterator[Apps]:
    """Yield apps, and close their sockets."""
    found = Apps()
    yield found
    for each in found.listeners.by_name.values():
        each.sock.close()


def test_what_waits_where_nobody_accepts_is_looked_at_when_others_come(
    apps: Apps,
) -> None:
    """And for as long as handshakes that began before may complete there."""
    relays, touched = Relays(), list[str]()
    seats = SeatSockets(apps.listeners, cast("Any", relays), touched.append)
    found = {}
    for name in ("a", "b"):
        listener = apps.serve(name, 1)
        spec = AppSpec(name=name, command=(), directory="/")
        found[name] = AppRecord(name, spec)
        instance = InstanceRecord(f"{name}/1/0/1", 0, 0.0)
        instance.listens.add(listener.address)
        generation = GenerationRecord(1, spec, 0.0, 1, instances=[instance])
        found[name].generations.append(generation)

    def comes(name: str, *, lives: bool) -> bool:
        instance = found[name].generations[0].instances[0]
        instance.leader_alive = lives
        return seats.update(found[name], 10.0)

    assert not comes("a", lives=True)
    assert not comes("b", lives=True)
    assert comes("a", lives=False)
    assert not seats.update(found["a"], 20.0)
    comes("b", lives=False)
    with contextlib.ExitStack() as stack:
        for _ in range(MANY):
            at = "127.0.0.1", apps.port
            stack.enter_context(socket.create_connection(at, 5))
        assert not relays.started
        assert touched == []
        comes("b", lives=True)
        assert touched == ["a"]
        seats.update(found["a"], 30.0)
        assert [name for name, _ in relays.started] == ["a"]
        assert 0 < relays.started[0][1] < MANY
    assert not comes("a", lives=True)
    assert touched == ["a"]
