"""Sockets of apps with a user: the kernel groups only those of one user."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners
from rig.hosts.host import NOBODY
from tests.unit.supervisor.sockets.test_calls_by_name import Keeper

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="only root gives files away"
)
MPTCP = 262
OTHER = NOBODY - 1
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


class Port:
    """One app, and the port that it has."""

    def __init__(self, kind: int) -> None:
        self.listeners = Listeners(cast("Any", Keeper()))
        self.kind = kind
        with socket.socket(type=kind) as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])

    def bind(self, number: int, user: int, *, protocol: int = 0) -> Listener:
        """Let a program of a user bind and listen, and have what comes."""
        with socket.socket(type=self.kind, proto=protocol) as sock:
            os.fchown(sock.fileno(), user, -1)
            self.listeners.bind("app", number, "127.0.0.1", self.port, sock, by="app")
        (found,) = self.listeners.of("app", number)
        self.listeners.listen(found)
        self.listeners.steer("app", number)
        return found

    def has_it(self, listener: Listener) -> bool:
        """Return whether what comes to the port comes to this socket, each time."""
        return all(self._comes_to(listener) for _ in range(10))

    def _comes_to(self, listener: Listener) -> bool:
        with socket.socket(type=self.kind) as client:
            client.settimeout(0)
            client.connect_ex(("127.0.0.1", self.port))
            if self.kind == UDP:
                client.send(b"x")
            listener.sock.settimeout(0)
            try:
                if self.kind == UDP:
                    listener.sock.recv(1)
                else:
                    listener.sock.accept()[0].close()
            except BlockingIOError:
                return False
            return True

    def shut(self) -> Listener:
        """Let nothing new come; return the socket that sees to that."""
        self.listeners.quiesce("app", 1, for_good=True)
        (found,) = (each for each in self.listeners.of("app", 1) if each.shut)
        return found

    def close(self) -> None:
        """Close all of its sockets."""
        for each in self.listeners.of_app("app"):
            each.sock.close()


@pytest.fixture(params=[TCP, UDP], ids=["tcp", "udp"])
def port(request: pytest.FixtureRequest) -> Iterator[Port]:
    """Return a port without a socket."""
    found = Port(request.param)
    yield found
    found.close()


def owner(listener: Listener) -> int:
    """Return the user of a socket."""
    return os.fstat(listener.sock.fileno()).st_uid


def test_what_lets_no_connection_begin_is_of_the_user_of_the_app(port: Port) -> None:
    """Else the kernel would have it beside the group, or refuse it."""
    serving = port.bind(1, NOBODY)
    assert port.has_it(serving)
    shut = port.shut()
    assert owner(shut) == NOBODY
    assert not port._comes_to(serving)


@pytest.mark.parametrize(
    ("before", "after"), [(NOBODY, OTHER), (0, NOBODY), (OTHER, 0)]
)
def test_the_user_of_an_app_changes_with_a_release(
    port: Port, before: int, after: int
) -> None:
    """The sockets of the generation before are of the new user then: it has the app."""
    old = port.bind(1, before)
    assert port.has_it(old)
    new = port.bind(2, after)
    assert owner(old) == owner(new) == after
    assert port.has_it(new)
    port.listeners.steer("app", 1)
    assert port.has_it(old)


def test_a_program_uses_multipath_tcp_no_more() -> None:
    """What was put in the place of its socket was of the same user."""
    try:
        socket.socket(proto=MPTCP).close()
    except OSError as error:
        pytest.skip(f"the kernel has no Multipath TCP: {error}")
    port = Port(TCP)
    try:
        assert owner(port.bind(1, NOBODY, protocol=MPTCP)) == NOBODY
        assert port.has_it(port.bind(2, NOBODY))
    finally:
        port.close()
