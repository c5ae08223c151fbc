"""With `affinity = "address"` each request of a session reaches the instance that has it."""

from __future__ import annotations

import http.client
import itertools
import sys
import threading
from dataclasses import dataclass, field

from gapless.supervisor.sockets import affinity
from rig import wait
from rig.hosts.host import Host

COMMAND = [sys.executable, "sessions.py"]
AFFINE = 'affinity = "address"\n'
POLLS = 6
PAUSE_S = 0.004


@dataclass
class Client:
    """One browser: it begins sessions and goes on with them, from an address of its own."""

    port: int
    source: str
    keeps_alive: bool = False
    target: str = "127.0.0.1"
    lost: list[str] = field(default_factory=list)
    strayed: list[str] = field(default_factory=list)
    """Sessions that an instance of the same generation did not know."""
    seats: set[tuple[str, str]] = field(default_factory=set)
    """Generations and instances that have answered."""
    finished: int = 0

    def run(self, over: threading.Event) -> None:
        """Go on until it is *over*."""
        while not over.is_set():
            try:
                self._session(over)
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))

    def _session(self, over: threading.Event) -> None:
        connection = self._connect()
        generation, seat, session = self._ask(connection, "/open")
        for _ in range(POLLS):
            over.wait(PAUSE_S)
            if not self.keeps_alive:
                connection.close()
                connection = self._connect()
            now, other, answer = self._ask(connection, f"/poll?{session}")
            if answer != session:
                if now == generation:
                    self.strayed.append(f"{self.source}: {seat} {other} of {now}")
                break
        else:
            self.finished += 1
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(
            self.target, self.port, timeout=20, source_address=(self.source, 0)
        )

    def _ask(
        self, connection: http.client.HTTPConnection, path: str
    ) -> tuple[str, str, str]:
        connection.request("GET", path)
        generation, seat, session = connection.getresponse().read().decode().split()
        self.seats.add((generation, seat))
        return generation, seat, session


class Browsers:
    """Clients of many addresses that run until the end of a `with` block."""

    def __init__(self, port: int, count: int = 10) -> None:
        self.all = [
            Client(port, f"127.0.0.{number}", keeps_alive=number % 3 == 0)
            for number in range(2, 2 + count)
        ]
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=each.run, args=(self._over,)) for each in self.all
        ]

    def __enter__(self) -> Browsers:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, sessions: int = 8) -> None:
        """Wait until each client has finished so many sessions more."""
        before = [each.finished for each in self.all]
        wait.until(
            lambda: all(
                each.finished >= count + sessions
                for each, count in zip(self.all, before, strict=True)
            ),
            "sessions are finished",
            30,
        )

    def lost(self) -> list[str]:
        """Return what no client got an answer for."""
        return list(itertools.chain(*(each.lost for each in self.all)))

    def strayed(self) -> list[str]:
        """Return the sessions that came to another instance of their generation."""
        return list(itertools.chain(*(each.strayed for each in self.all)))


def test_sessions_keep_their_instance_and_end_with_their_generation(host: Host) -> None:
    """Under load: none strays in a steady set and in releases; no request is lost."""
    port = wait.free_port()
    host.start("chat", COMMAND, port=port, more=f"{AFFINE}instances = 3")
    with Browsers(port) as browsers:
        browsers.go_on()
        for release in ("2", "3", "4"):
            host.declare(
                *("chat", COMMAND),
                port=port,
                release=release,
                more=f"{AFFINE}instances = 3",
            )
            host.ok("reload", "chat.toml")
            browsers.go_on(3)
        browsers.go_on()
        assert not browsers.strayed()
    assert not browsers.lost()
    for client in browsers.all:
        chosen = affinity.seat_of(affinity.bucket_of(client.source), [True] * 3)
        assert {seat for _, seat in client.seats} == {str(chosen)}
    assert len({seat for each in browsers.all for _, seat in each.seats}) == 3


def test_scale_moves_some_sessions_once_and_loses_none(host: Host) -> None:
    """The set changes: an address may get another seat, and keeps that."""
    port = wait.free_port()
    host.start("chat", COMMAND, port=port, more=f"{AFFINE}instances = 2")
    with Browsers(port) as browsers:
        browsers.go_on()
        assert not browsers.strayed()
        host.ok("scale", "chat", "4")
        browsers.go_on(3)
        moved = len(browsers.strayed())
        browsers.go_on()
        assert len(browsers.strayed()) == moved <= 2 * len(browsers.all)
        host.ok("scale", "chat", "3")
        browsers.go_on()
        assert len(browsers.strayed()) == moved
        assert {seat for each in browsers.all for _, seat in each.seats} == set("0123")
    assert not browsers.lost()
