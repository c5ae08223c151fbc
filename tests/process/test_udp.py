"""Programs on UDP are handed over, and no datagram is lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from rig import wait
from rig.hosts.host import APPS, Host
from rig.wait import free_port

ANSWER_S = 5.0


class UdpApp:
    """An app on a UDP port."""

    def __init__(self, host: Host, *more: str, instances: int = 1) -> None:
        self.host, self.more, self.instances = host, more, instances
        self.port = free_port()
        self.environment: dict[str, str] = {}

    def declare(self, release: int) -> None:
        """Write the configuration of a release."""
        variables = {"PORT": str(self.port), "RELEASE": str(release)}
        variables |= self.environment
        lines = [
            "[app.udp]",
            'command = ["python3", "udp_app.py"]',
            f'directory = "{APPS / "sockets"}"',
            f"instances = {self.instances}",
            "min_healthy_s = 0.3",
            *self.more,
            "[app.udp.environment]",
            *(f'{name} = "{value}"' for name, value in variables.items()),
        ]
        self.host.configure("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start the first release, and wait until it is bound."""
        self.declare(1)
        self.host.ok("start", "gapless.toml")
        wait.until(lambda: self.host.row("udp")["addresses"], "it is bound")

    def release(self, number: int) -> str:
        """Hand over to the next release; return what the command printed."""
        self.declare(number)
        return self.host.ok("reload", "gapless.toml")


class Asker:
    """A client that sends one datagram after the other, each once."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self._over = threading.Event()
        self._port = port
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(ANSWER_S * wait.SLOWER)
            sock.connect(("127.0.0.1", self._port))
            number = 0
            while not self._over.wait(0.002):
                number += 1
                try:
                    sock.send(str(number).encode())
                    answer = sock.recv(2048).decode()
                except OSError as error:
                    self.answers[type(error).__name__] += 1
                    continue
                release, _, echo = answer.rpartition(" ")
                self.answers[release if echo == str(number) else answer] += 1

    def has(self, answer: str) -> Callable[[], int]:
        """Return what tells how often an answer came."""
        return lambda: self.answers[answer]

    def stop(self) -> set[str]:
        """Stop; return all kinds of answers that came."""
        self._over.set()
        self._thread.join()
        return set(self.answers)


@contextlib.contextmanager
def asking(port: int) -> Iterator[Asker]:
    """Ask in the background for the length of the block."""
    asker = Asker(port)
    try:
        yield asker
    finally:
        asker.stop()


@pytest.mark.parametrize("instances", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_handoffs_lose_no_datagram(host: Host, instances: int) -> None:
    """UDP alone: questions and answers, from one client that never pauses."""
    app = UdpApp(host, instances=instances)
    app.start()
    with asking(app.port) as asker:
        for number in (1, 2, 3):
            if number > 1:
                app.release(number)
            wait.until(asker.has(f"release {number}"), f"an answer of {number}")
        assert asker.stop() == {"release 1", "release 2", "release 3"}
    assert host.app("udp")["addresses"] == [f"udp:127.0.0.1:{app.port}"]


def test_old_generation_reads_its_queue(host: Host) -> None:
    """What waits there when datagrams move is answered before it ends."""
    app = UdpApp(host)
    app.environment["SLOW_S"] = "0.15"
    app.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(ANSWER_S * wait.SLOWER)
        sock.connect(("127.0.0.1", app.port))
        sock.send(b"first")
        assert sock.recv(100) == b"release 1 first"
        app.declare(2)
        with host.begin("reload", "gapless.toml") as reload:
            for number in range(20):
                sock.send(b"%d" % number)
            answers = [sock.recv(100) for _ in range(20)]
            reload.communicate(timeout=60)
        assert reload.returncode == 0
        sock.send(b"last")
        assert sock.recv(100) == b"release 2 last"
    assert {each.rpartition(b" ")[0] for each in answers} <= {
        b"release 1",
        b"release 2",
    }
    assert len(set(answers)) == 20


def test_stranger_on_the_port_is_named_by_the_errno(host: Host) -> None:
    """A release does not share the datagrams of another program."""
    app = UdpApp(host, 'ready = { when = "listening", timeout_s = 20 }')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", app.port))
        app.declare(1)
        done = host.gapless("start", "gapless.toml")
        assert done.returncode == 1
        assert f"could not bind udp:127.0.0.1:{app.port}" in done.stdout


def test_multicast_is_recycled(host: Host) -> None:
    """Each of two generations would get every datagram."""
    app = UdpApp(host)
    app.environment["ADDRESS"] = "239.1.2.3"
    app.declare(1)
    host.ok("start", "gapless.toml")
    wait.until(lambda: host.status("udp") == "online", "it is online")
    assert "recycling" in app.release(2)


def test_stop_does_not_wait_for_a_client_that_never_stops(host: Host) -> None:
    """What comes after the stop goes to nobody; what came before is answered."""
    app = UdpApp(host)
    app.start()
    with asking(app.port) as asker:
        wait.until(asker.has("release 1"), "an answer")
        host.ok("stop", "udp")
    assert host.status("udp") == "stopped"


def test_sessions_of_a_server_have_sockets_of_their_own(host: Host) -> None:
    """Each is connected to its client, and the server goes on for all others."""
    app = UdpApp(host)
    app.environment["SESSIONS"] = "1"
    app.start()
    for number in (1, 2):
        if number > 1:
            app.release(number)
        for word in (b"a", b"b", b"c"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(ANSWER_S * wait.SLOWER)
                sock.connect(("127.0.0.1", app.port))
                sock.send(word)
                assert sock.recv(100) == b"release %d %s" % (number, word)
