"""Which connections ask whether a port is free, and are told that nobody is there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from gapless.base import clock
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord, SeatRecord
from gapless.supervisor.memory.model import Phase
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.sockets.addresses import address_text
from gapless.supervisor.sockets.connect_calls import (
    MOST_ADDRESSES,
    MOST_ASKS,
    ConnectCalls,
    is_of_this_host,
)
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.path_calls import PathCalls

SPEC = AppSpec(name="app", command=("app",), directory="/")
PORT = 8000
REFUSED, PROCEEDS = "fail", "proceed"


class Keeper:
    """Takes what the keeper is told."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    def hold(self, *_: object) -> None:
        """Hold a socket."""

    def answer(self, *words: str, **_: object) -> None:
        """Answer a call: by its key, its number and a word."""
        self.answers.append(words[-1])


class Asking:
    """An app `app` that listens somewhere, and a new instance of it that asks."""

    def __init__(self) -> None:
        self.keeper, self.apps = Keeper(), Apps()
        keeper = cast("Any", self.keeper)
        self.listeners = Listeners(keeper)
        paths = PathCalls(self.apps, keeper, self.listeners)
        self.calls = ConnectCalls(self.apps, keeper, self.listeners, paths)
        self.sockets: list[socket.socket] = []
        self.last_call = 0

    def listens(self, host: str, app: str = "app", shared_as: str = "") -> None:
        """Let the generation that serves listen at an address."""
        sock = socket.socket()
        self.sockets.append(sock)
        address = address_text(host, PORT)
        self.listeners.add(
            Listener(
                name=f"socket/{app}/1/{address}",
                app=app,
                generation=1,
                address=address,
                group=address,
                sock=sock,
                shared_as=shared_as,
            )
        )

    def begin(
        self, phase: Phase = Phase.STARTING, spec: AppSpec = SPEC
    ) -> InstanceRecord:
        """Start a new instance of the app."""
        app = self.apps.setdefault("app", AppRecord("app", SPEC))
        app.last_serial += 1
        instance = InstanceRecord(f"app/2/0/{app.last_serial}", 0, clock.monotonic())
        instance.phase = phase
        generation = GenerationRecord(
            2, spec, clock.monotonic(), seats=[SeatRecord(0)], instances=[instance]
        )
        app.generations.append(generation)
        return instance

    def asks(
        self, instance: InstanceRecord, host: str, port: int = PORT, call: int = 0
    ) -> str:
        """Let an instance connect; return what the keeper is told.

        Each *call* has a number of its own, unless it is told again.
        """
        self.last_call += 1
        number = call or self.last_call
        message = {"key": instance.key, "id": number, "host": host, "port": port}
        self.calls.connect(message)
        return self.keeper.answers[-1]


@pytest.fixture
def asking() -> Iterator[Asking]:
    """Return an app without sockets."""
    made = Asking()
    yield made
    for sock in made.sockets:
        sock.close()


def test_a_program_that_starts_finds_its_port_free(asking: Asking) -> None:
    """`localhost` is two addresses, and each may be asked."""
    asking.listens("::")
    instance = asking.begin()
    for host in ("::1", "127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"):
        assert asking.asks(instance, host) == REFUSED


def test_who_asks_on_is_a_client(asking: Asking) -> None:
    """It gets the truth at the third time; another instance is asked anew."""
    asking.listens("127.0.0.1")
    first, second = asking.begin(), asking.begin()
    found = [asking.asks(first, "127.0.0.1") for _ in range(MOST_ASKS + 1)]
    assert found == [REFUSED] * MOST_ASKS + [PROCEEDS]
    assert asking.asks(second, "127.0.0.1") == REFUSED


def test_a_call_that_is_told_again_counts_once(asking: Asking) -> None:
    """By the keeper that follows one that died before it had the answer."""
    asking.listens("127.0.0.1")
    instance = asking.begin()
    for call in (7, 7, 7, 8, 8, 7):
        assert asking.asks(instance, "127.0.0.1", call=call) == REFUSED
    assert asking.asks(instance, "127.0.0.1", call=9) == PROCEEDS


def test_who_is_ready_or_has_bound_the_port_is_a_client(asking: Asking) -> None:
    """It may well call itself; a bound port of UDP or another one says nothing."""
    asking.listens("0.0.0.0")
    assert asking.asks(asking.begin(Phase.READY), "127.0.0.1") == PROCEEDS
    instance = asking.begin()
    instance.bound |= {f"udp:0.0.0.0:{PORT}", "127.0.0.1:80", f"unix:/tmp/a:{PORT}"}
    assert asking.asks(instance, "127.0.0.1") == REFUSED
    instance.bound.add(f"[::1]:{PORT}")
    assert asking.asks(instance, "127.0.0.1") == PROCEEDS


@pytest.mark.parametrize("own", ["", "[::1]", "127.0.0.2"])
def test_a_port_of_another_app_is_answered_truly(asking: Asking, own: str) -> None:
    """Also if the app has the same port at another address."""
    asking.listens("127.0.0.1", "database")
    if own:
        asking.listens(own.strip("[]"))
    assert asking.asks(asking.begin(), "127.0.0.1") == PROCEEDS


def test_a_port_that_apps_share_is_free(asking: Asking) -> None:
    """To those that have one word for it."""
    asking.listens("127.0.0.1", "other", "web")
    for word, answer in (("web", REFUSED), ("", PROCEEDS), ("db", PROCEEDS)):
        instance = asking.begin(spec=replace(SPEC, share_ports=word))
        assert asking.asks(instance, "127.0.0.1") == answer


def test_another_host_is_answered_truly(asking: Asking) -> None:
    """Though it has the same port, as a database may."""
    asking.listens("0.0.0.0")
    asking.listens("::")
    instance = asking.begin()
    for host in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7", "255.255.255.255"):
        assert asking.asks(instance, host) == PROCEEDS
    assert asking.asks(instance, "127.0.0.1", PORT + 1) == PROCEEDS


def test_addresses_that_a_program_makes_up_have_an_end(asking: Asking) -> None:
    """127.0.0.0/8 has millions of them, and each is remembered."""
    asking.listens("0.0.0.0")
    instance = asking.begin()
    for number in range(MOST_ADDRESSES):
        assert asking.asks(instance, f"127.0.0.{number + 1}") == REFUSED
    assert asking.asks(instance, "127.0.1.1") == PROCEEDS


def test_an_instance_that_is_not_known_proceeds(asking: Asking) -> None:
    """It is of a supervisor before, perhaps."""
    asking.listens("127.0.0.1")
    gone = InstanceRecord("app/9/0/9", 0, clock.monotonic())
    assert asking.asks(gone, "127.0.0.1") == PROCEEDS


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::ffff:127.0.0.1", True)),
        *(("0.0.0.0", True), ("192.0.2.7", False), ("no address", False)),
    ],
)
def test_which_addresses_are_of_this_host(host: str, own: bool) -> None:
    """The routes say so; nothing is sent."""
    assert is_of_this_host(host) is own
