"""What programs bind by name: which paths and UDP ports are handed over, and to whom."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gapless.base import clock, codec
from gapless.supervisor.kernel.processes import socket_inodes
from gapless.supervisor.memory.apps import AppRecord, Apps, Found
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord, SeatRecord
from gapless.supervisor.memory.model import Phase
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.sockets.addresses import RefusedError
from gapless.supervisor.sockets.connect_calls import MOST_ASKS, ConnectCalls
from gapless.supervisor.sockets.datagram_calls import DatagramCalls
from gapless.supervisor.sockets.first_binds import GRACE_S, MOST
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.path_calls import PathCalls
from gapless.supervisor.sockets.unix.acting import Identity
from gapless.supervisor.sockets.unix.own_paths import (
    is_in_drawn_directory,
    looks_drawn,
)

ME = Identity(uid=os.geteuid(), gid=os.getegid(), groups=tuple(os.getgroups()))
SPEC = AppSpec(name="app", command=("app",), directory="/")


class Keeper:
    """Takes what the keeper is told."""

    def __init__(self) -> None:
        self.released: list[str] = []
        self.answers: list[str] = []

    def hold(self, *_: object) -> None:
        """Hold a socket."""

    def note(self, *_: object) -> None:
        """Keep a note."""

    def release(self, name: str) -> None:
        """Release a socket."""
        self.released.append(name)

    def answer(self, *words: str, **_: object) -> None:
        """Answer a call: by its key, its number and a word."""
        self.answers.append(words[-1])


class Calls:
    """The calls of apps that each have one instance per generation."""

    def __init__(self) -> None:
        self.keeper, self.apps = Keeper(), Apps()
        keeper = cast("Any", self.keeper)
        self.listeners = Listeners(keeper)
        self.paths = PathCalls(self.apps, keeper, self.listeners)
        self.connects = ConnectCalls(self.apps, keeper, self.listeners, self.paths)
        self.datagrams = DatagramCalls(
            self.listeners, lambda _: socket_inodes((os.getpid(),)) - self.closed
        )
        self.closed: set[int] = set()
        """The inodes of the sockets that a program has closed."""
        self.sockets: list[socket.socket] = []

    def begin(
        self, name: str = "app", *, age: float = 0.0, ready: bool = False
    ) -> Found:
        """Start the next generation of an app."""
        app = self.apps.setdefault(name, AppRecord(name, SPEC))
        app.last_generation += 1
        number = app.last_generation
        started = clock.monotonic() - age
        instance = InstanceRecord(f"{name}/{number}/0/1", 0, started)
        instance.phase = Phase.READY if ready else Phase.STARTING
        generation = GenerationRecord(
            number, SPEC, started, seats=[SeatRecord(0)], instances=[instance]
        )
        app.generations.append(generation)
        return app, generation, instance

    def path(self, found: Found, path: Path, *, listen: bool = True) -> str | None:
        """Bind a path, and listen there."""
        sock = socket.socket(socket.AF_UNIX)
        self.sockets.append(sock)
        message = {"path": str(path), "pid": 1, "identity": codec.encode(ME)}
        held = self.paths.bind(found, message, sock)
        listener = self.listener(found, f"unix:{path}")
        if listener is not None and listen:
            self.listeners.listen(listener)
        return held

    def udp(self, found: Found, port: int, *options: int) -> str | None:
        """Bind a UDP port."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sockets.append(sock)
        for each in options:
            sock.setsockopt(socket.SOL_SOCKET, each, 1)
        return self.datagrams.bind(found, "127.0.0.1", port, sock)

    def listener(self, found: Found, address: str) -> Listener | None:
        """Return the socket of a generation."""
        return self.listeners.find(found[0].name, found[1].number, address)

    def close(self) -> None:
        """Close every socket."""
        for listener in list(self.listeners.by_name.values()):
            listener.sock.close()
        for sock in self.sockets:
            sock.close()


@pytest.fixture
def calls() -> Iterator[Calls]:
    """Return what answers calls."""
    made = Calls()
    yield made
    made.close()


# --- whose a path is ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("org.chromium.Chromium.AbCdEf", True), ("app-x3k9qp", True)),
        *(("go-build123456789", True), ("jestAbC9fE", True)),
        *(("sockets", False), ("Sockets", False), ("server-main", False)),
        *(("socket1", False), ("app", False), ("my-app", False)),
    ],
)
def test_drawn_names(name: str, expected: bool) -> None:
    """Six letters and digits that are no word."""
    assert looks_drawn(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("chrome.TXVYIF", True), ("x-abcdef", True), ("app", False), ("sockets", False)],
)
def test_drawn_names_of_private_directories(name: str, expected: bool) -> None:
    """One in 90 of mkdtemp's names has letters of one case alone."""
    assert looks_drawn(name, private=True) is expected
    assert not looks_drawn(name)


def test_drawn_directory_counts_if_it_is_new(tmp_path: Path) -> None:
    """One that was there before the program is where its clients look."""
    before = clock.monotonic() - 1
    made = tmp_path / "chrome.AbCdEf"
    made.mkdir()
    path = str(made / "deeper" / "socket")
    assert is_in_drawn_directory(path, before)
    assert not is_in_drawn_directory(path, clock.monotonic() + 1)


def test_path_of_a_drawn_directory_is_the_programs_own(
    calls: Calls, tmp_path: Path
) -> None:
    """Chrome makes one at each start, and cleans up after itself."""
    found = calls.begin(age=1)
    (tmp_path / "chrome.AbCdEf").mkdir()
    assert calls.path(found, tmp_path / "chrome.AbCdEf" / "SingletonSocket") is None
    assert not found[2].bound
    assert os.listdir(tmp_path / "chrome.AbCdEf") == []


def test_path_that_comes_late_is_the_programs_own(calls: Calls, tmp_path: Path) -> None:
    """Unless the app had it before: a slow program is handed over all the same."""
    old = calls.begin(age=GRACE_S + 1, ready=True)
    assert calls.path(old, tmp_path / "late") is None
    slow = calls.begin(age=GRACE_S + 1)
    assert calls.path(slow, tmp_path / "a") == ""
    ready = calls.begin(age=GRACE_S + 1, ready=True)
    assert calls.path(ready, tmp_path / "a") == ""
    ready[1].seats[0].expected.add(f"unix:{tmp_path}/b")
    assert calls.path(ready, tmp_path / "b") == ""


@pytest.mark.parametrize("place", ["command", "file"])
def test_path_that_the_configuration_names_may_come_late(
    calls: Calls, tmp_path: Path, place: str
) -> None:
    """A program may need a minute before it binds what it serves on."""
    slow = calls.begin(age=60, ready=True)
    bind = f"unix://{tmp_path}/puma.sock"
    command = ("puma", "-b", bind) if place == "command" else ("puma",)
    slow[1].spec = replace(SPEC, command=command, directory=str(tmp_path))
    (tmp_path / "config").mkdir()
    if place == "file":
        (tmp_path / "config" / "puma.rb").write_text(f'bind "{bind}"\n')
    assert calls.path(slow, tmp_path / "other.sock") is None
    assert calls.path(slow, tmp_path / "puma.sock") == ""


def test_paths_of_one_generation_are_not_without_end(
    calls: Calls, tmp_path: Path
) -> None:
    """Who binds more makes them up."""
    found = calls.begin()
    answers = [calls.path(found, tmp_path / f"p{n}") for n in range(MOST + 1)]
    assert answers == [""] * MOST + [None]


def test_client_of_another_instance_is_not_refused_for_ever(
    calls: Calls, tmp_path: Path
) -> None:
    """Who only asks before it binds does that once or twice, and before it is ready."""
    calls.path(calls.begin(), tmp_path / "a")
    client = calls.begin()[2]
    message = {"key": client.key, "id": 1, "path": str(tmp_path / "a")}
    for call in range(MOST_ASKS + 1):
        calls.connects.connect(message | {"id": call})
    assert calls.keeper.answers == ["fail"] * MOST_ASKS + ["proceed"]
    other = calls.begin(ready=True)[2]
    calls.connects.connect(message | {"key": other.key})
    assert calls.keeper.answers[-1] == "proceed"


def test_who_took_a_path_of_another_app_goes_on(calls: Calls, tmp_path: Path) -> None:
    """The socket of the first holds nobody up; a bind that fails changes nothing."""
    path = tmp_path / "a"
    first, second = calls.begin("first"), calls.begin("second")
    assert calls.path(first, path) == ""
    with pytest.raises(RefusedError):
        calls.path(second, path)
    path.unlink()
    calls.sockets[-1].bind(str(tmp_path / "else"))  # so that its bind fails
    sock = calls.sockets[-1]
    message = {"path": str(path), "pid": 1, "identity": codec.encode(ME)}
    with pytest.raises(RefusedError):
        calls.paths.bind(second, message, sock)
    held = calls.listener(first, f"unix:{path}")
    assert held is not None
    assert calls.listeners.groups.takes_connections(held)
    assert path.exists()
    path.unlink()
    assert calls.path(second, path) == ""
    mine = calls.listener(second, f"unix:{path}")
    assert mine is not None
    calls.listeners.groups.steer(mine)
    assert calls.path(calls.begin("second"), path) == ""
    assert calls.listeners.groups.takes_connections(mine)


# --- UDP ------------------------------------------------------------------------------


def free_udp() -> int:
    """Return a port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_session_of_a_server_is_a_socket_of_its_own(calls: Calls) -> None:
    """DTLS: its connect would make the server deaf to all others."""
    found, port = calls.begin(), free_udp()
    reuse = socket.SO_REUSEADDR
    assert calls.udp(found, port, reuse) == ""
    assert calls.udp(found, port, reuse) is None
    shared = calls.udp(found, port, reuse, socket.SO_REUSEPORT)
    assert shared == f"socket/app/1/udp:127.0.0.1:{port}"


def test_socket_that_has_a_peer_is_injected_nowhere(calls: Calls) -> None:
    """It hears of nobody else."""
    found, port = calls.begin(), free_udp()
    calls.udp(found, port)
    calls.sockets[-1].connect(("127.0.0.1", 9))
    assert calls.udp(found, port) is None


def test_socket_that_the_program_closed_is_not_given_back(calls: Calls) -> None:
    """Its options, and what waits in its queue, are of before."""
    found, port = calls.begin(), free_udp()
    calls.udp(found, port)
    old = calls.listener(found, f"udp:127.0.0.1:{port}")
    assert old is not None
    assert calls.udp(found, port) == old.name  # another process of it has it
    calls.closed.add(os.fstat(old.sock.fileno()).st_ino)
    assert calls.udp(found, port) == ""
    assert calls.keeper.released == [old.name]
    new = calls.listener(found, f"udp:127.0.0.1:{port}")
    assert new is not None
    assert new.name != old.name
    calls.listeners.left(old.name)
    assert calls.listener(found, f"udp:127.0.0.1:{port}") is new
    assert calls.listeners.groups.takes_connections(new)


def test_port_that_comes_late_is_the_programs_own(calls: Calls) -> None:
    """A range for media, or a question to a time server."""
    old, port = calls.begin(age=GRACE_S + 1, ready=True), free_udp()
    named = calls.begin("slow", age=GRACE_S + 1, ready=True)
    named[1].spec = replace(SPEC, command=("app", f"--port={port + 1}"))
    assert calls.udp(named, port + 1) == ""
    assert calls.udp(old, port) is None
    assert calls.udp(calls.begin(), port) == ""
    assert calls.udp(old, port) == ""  # known by now


def test_socket_beside_the_group_is_told_of(calls: Calls) -> None:
    """The kernel lets it share the address, so some datagrams go there."""
    found, port = calls.begin(), free_udp()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        assert calls.udp(found, port, socket.SO_REUSEADDR) is None
    assert not found[2].refusal  # nobody's datagrams are lost: tools share ports so
    assert calls.udp(found, port) == ""
    after = calls.begin()
    held = calls.listener(found, f"udp:127.0.0.1:{port}")
    assert held is not None
    held.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    held.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    assert calls.udp(after, port, socket.SO_REUSEADDR) is None
    assert f"could not bind udp:127.0.0.1:{port}" in after[2].refusal
