"""With `affinity = "address"` each request of a session reaches the one that has it."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from typing import Self

import pytest

from gapless.supervisor.kernel.source_buckets import bucket_of
from gapless.supervisor.sockets import affinity
from rig import wait
from rig.hosts.host import Host

COMMAND = [sys.executable, "sockets/sessions.py"]
AFFINE = 'affinity = "address"\n'
POLLS = 6
PAUSE_S = 0.04


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
    kept: http.client.HTTPConnection | None = None

    def run(self, over: threading.Event) -> None:
        """Go on until it is *over*."""
        while not over.is_set():
            try:
                self._session(over)
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                self.kept = None
        if self.kept is not None:
            self.kept.close()

    def _session(self, over: threading.Event) -> None:
        generation, seat, session = self._ask("/open")
        for _ in range(POLLS):
            over.wait(PAUSE_S)
            now, other, answer = self._ask(f"/poll?{session}")
            if answer != session:
                if now == generation:
                    self.strayed.append(f"{self.source}: {seat} {other} of {now}")
                return
        self.finished += 1

    def _ask(self, path: str) -> tuple[str, str, str]:
        """Ask, on a new connection unless this client keeps its own."""
        if not self.keeps_alive or self.kept is None:
            self.kept = http.client.HTTPConnection(
                self.target, self.port, timeout=20, source_address=(self.source, 0)
            )
        self.kept.request("GET", path)
        answer = self.kept.getresponse()
        generation, seat, session = answer.read().decode().split()
        if not self.keeps_alive:
            self.kept.close()
        self.seats.add((generation, seat))
        return generation, seat, session


class Browsers:
    """Clients of many addresses that run until the end of a `with` block."""

    def __init__(self, port: int, count: int = 8, *, keep_alive: bool = True) -> None:
        """Let every third client keep its connection; a recycle would wait for those."""
        self.all = [
            Client(port, f"127.0.0.{number}", keeps_alive=keep_alive and not number % 3)
            for number in range(2, 2 + count)
        ]
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=each.run, args=(self._over,)) for each in self.all
        ]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, sessions: int = 4) -> None:
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


def seat_of(client: Client) -> str:
    """Return the instance of three that an address belongs to."""
    return str(affinity.seat_of(bucket_of(client.source), [True] * 3))


def test_sessions_keep_their_instance_and_end_with_their_generation(host: Host) -> None:
    """Under load: none strays in a steady set and in releases; no request is lost."""
    port = wait.free_port()
    host.start("chat", COMMAND, port=port, more=f"{AFFINE}instances = 3")
    with Browsers(port) as browsers:
        browsers.go_on()
        for _ in range(2):
            host.ok("reload", "chat")
            browsers.go_on(2)
        assert not browsers.strayed()
    assert not browsers.lost()
    for client in browsers.all:
        assert {seat for _, seat in client.seats} == {seat_of(client)}
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


@pytest.mark.soak
def test_when_an_instance_ends_its_addresses_are_served_by_the_others(
    host: Host,
) -> None:
    """And by the next one in its seat, once it listens; the others notice nothing."""
    port = wait.free_port()
    host.start("chat", COMMAND, port=port, more=f"{AFFINE}instances = 3")
    with Browsers(port) as browsers:
        browsers.go_on(3)
        victim = browsers.all[0]
        ((_, seat),) = victim.seats
        pid = next(
            each["pid"]
            for each in host.app("chat")["instances_detail"]
            if str(each["ordinal"]) == seat
        )
        os.kill(pid, signal.SIGKILL)
        browsers.go_on(4)
        wait.until(lambda: host.row("chat")["instances"]["ready"] == 3, "3 are ready")
        browsers.go_on(4)
        strayed = len(browsers.strayed())
        browsers.go_on(4)
        assert len(browsers.strayed()) == strayed
    for client in browsers.all:
        if (home := seat_of(client)) != seat:
            assert {each for _, each in client.seats} == {home}
            assert not client.lost + client.strayed


def test_sessions_outlive_the_supervisor(host: Host) -> None:
    """The next one knows whose each socket is; the keeper has them meanwhile."""
    port = wait.free_port()
    host.start("chat", COMMAND, port=port, more=f"{AFFINE}instances = 3")
    with Browsers(port) as browsers:
        browsers.go_on(2)
        os.kill(host.supervisor_pid(), signal.SIGKILL)
        browsers.go_on(2)
        host.start_supervisor()
        browsers.go_on(2)
        host.ok("reload", "chat")
        browsers.go_on(2)
        assert not browsers.strayed()
    assert not browsers.lost()
    assert all({each for _, each in c.seats} == {seat_of(c)} for c in browsers.all)


@pytest.mark.soak
def test_a_recycle_keeps_the_sockets_of_its_seats(host: Host) -> None:
    """Sessions end with the instance; each address finds the next one in its seat."""
    port = wait.free_port()
    more = f"{AFFINE}instances = 3\noverlap = false\nmin_healthy_s = 0.2"
    host.start("chat", COMMAND, port=port, more=more)
    with Browsers(port, keep_alive=False) as browsers:
        browsers.go_on(2)
        host.ok("reload", "chat")
        browsers.go_on(2)
        strayed = len(browsers.strayed())
        browsers.go_on(4)
        assert len(browsers.strayed()) == strayed
        for client in browsers.all:
            client.seats.clear()
        browsers.go_on(2)
        assert all({each for _, each in c.seats} == {seat_of(c)} for c in browsers.all)
    assert not browsers.lost()


@pytest.mark.soak
def test_liveness_asks_each_instance_at_its_own_socket(host: Host) -> None:
    """One that stands still is replaced in its seat, whatever address asks."""
    port = wait.free_port()
    more = (
        f"{AFFINE}instances = 3\n"
        'alive = { http = "/", every_s = 0.3, failures = 2, timeout_s = 0.5 }'
    )
    host.start("chat", COMMAND, port=port, more=more)
    pids = host.app("chat")["pids"]
    os.kill(pids[1], signal.SIGSTOP)
    wait.until(
        lambda: host.app("chat")["restarts_by"].get("liveness") == 1, "it is replaced"
    )
    wait.until(lambda: host.row("chat")["instances"]["ready"] == 3, "3 are ready")
    assert {pids[0], pids[2]} < set(host.app("chat")["pids"])
    with Browsers(port) as browsers:
        browsers.go_on(2)
    assert not browsers.lost() + browsers.strayed()


@pytest.mark.soak
def test_sockets_that_are_handed_out_are_of_seats_too(host: Host) -> None:
    """With LISTEN_FDS, where the program makes no call that could be answered."""
    port = wait.free_port()
    more = f'{AFFINE}instances = 3\nlisten = ["127.0.0.1:{port}"]'
    host.start("chat", COMMAND, port=port, more=more)
    with Browsers(port) as browsers:
        browsers.go_on(2)
        host.ok("reload", "chat")
        browsers.go_on(2)
    assert not browsers.lost() + browsers.strayed()
    assert all({each for _, each in c.seats} == {seat_of(c)} for c in browsers.all)
