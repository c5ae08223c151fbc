"""What a supervisor tells systemd: a real socket, on which a test listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.supervisor import unit


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the socket of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def told(systemd: socket.socket) -> list[str]:
    """Return what was sent since the last call."""
    found = []
    while True:
        try:
            found.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return found


def of(systemd: socket.socket, **more: str) -> unit.Unit:
    """Return a unit of that socket."""
    environment = {"NOTIFY_SOCKET": systemd.getsockname(), "PATH": "/bin", **more}
    return unit.of_environment(environment, 7)


def test_it_says_that_it_is_ready_how_its_apps_are_and_that_it_ends(
    systemd: socket.socket,
) -> None:
    """A line about the apps is sent when it changes, once in a second."""
    found = of(systemd)
    found.app_is("a", "online")
    found.keep_up(1.0)
    assert told(systemd) == []
    found.ready(1.0)
    assert told(systemd) == ["READY=1\nSTATUS=1 app: 1 online"]
    found.app_is("b", "starting")
    found.keep_up(2.0)
    assert (told(systemd), found.wait_until()) == ([], 3.0)
    found.app_is("b", "online")
    found.keep_up(3.0)
    assert (told(systemd), found.wait_until()) == (["STATUS=2 apps: 2 online"], None)
    found.app_is("a", None)
    found.app_is("b", None)
    found.keep_up(4.0)
    found.keep_up(5.0)
    assert told(systemd) == ["STATUS=no apps"]
    found.stopping()
    assert told(systemd) == ["STOPPING=1\nSTATUS="]


def test_it_says_that_it_lives_only_if_it_is_asked(systemd: socket.socket) -> None:
    """Twice in the time that WATCHDOG_USEC gives; else it has nothing to wake up for."""
    found = of(systemd, WATCHDOG_USEC="30000000", WATCHDOG_PID="7")
    found.ready(100.0)
    for now in (100.0, 114.9, 115.0):
        found.keep_up(now)
    assert (told(systemd)[1:], found.wait_until()) == (["WATCHDOG=1"] * 2, 130.0)
    for asked in ({}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}):
        found = of(systemd, **asked)
        found.ready(1.0)
        found.keep_up(1.0)
        assert found.wait_until() is None


def test_it_asks_for_more_time_while_apps_are_at_work(systemd: socket.socket) -> None:
    """At once, for `systemctl stop` may wait already; and never for nothing."""
    found = of(systemd)
    found.app_is("a", "online")
    found.ready(1.0)
    found.keep_up(1.0)
    assert (len(told(systemd)), found.wait_until()) == (1, None)
    found.app_is("a", "online", at_work=True)
    for now in (2.0, 3.0, 16.9, 17.0):
        found.keep_up(now)
    assert (told(systemd), found.wait_until()) == (
        ["EXTEND_TIMEOUT_USEC=45000000"] * 2,
        32.0,
    )
    found.app_is("a", None)
    found.keep_up(33.0)
    assert "EXTEND" not in "".join(told(systemd))
    found.app_is("a", "online", at_work=True)
    found.keep_up(34.0)
    assert "EXTEND_TIMEOUT_USEC=45000000" in told(systemd)


@pytest.mark.parametrize("value", ["", "0", "-1", "many", "1" * 50, "٣"])
def test_what_is_no_interval_is_no_watchdog(systemd: socket.socket, value: str) -> None:
    """It comes from the environment."""
    found = of(systemd, WATCHDOG_USEC=value)
    found.ready(1.0)
    found.keep_up(1.0)
    assert (found.wait_until() or 1e9) > 1e6


def test_it_waits_for_nobody_who_does_not_read(systemd: socket.socket) -> None:
    """What does not fit is sent again."""
    found = of(systemd, WATCHDOG_USEC="2000000")
    found.ready(0.0)
    for now in range(1000):
        found.keep_up(float(now))
    assert set(told(systemd)[1:]) == {"WATCHDOG=1"}
    found.keep_up(1000.0)
    assert told(systemd) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    "address", ["", "relative", "vsock:2:3", "/is/not/there", "@x"]
)
def test_an_address_where_nobody_listens_harms_nobody(address: str) -> None:
    """A supervisor that was started by hand has none."""
    found = unit.of_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}, 7)
    found.ready(1.0)
    found.keep_up(1.0)
    found.stopping()
