"""Servers that are dead, silent or break off behind a balancer while others drain."""

from __future__ import annotations

import http.client
import itertools
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rig.hosts.host import GAPLESS
from rig.matrix import matrix
from rig.programs.backend import (
    BREAKS,
    DRAINS,
    FAILS,
    SERVES,
    SILENT,
    Backend,
    backends,
    without_power,
)
from rig.programs.balancer import balancer
from rig.wait import free_port, until

NAMES = ("nginx", "haproxy")
METHODS = ("GET", "PUT", "DELETE", "POST", "PATCH")
TUNNEL = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def send(port: int, method: str, number: int, body: bytes = b"x") -> tuple[int, float]:
    """Send a request; return its status, 0 if nothing came, and how long it took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    began = time.monotonic()
    try:
        connection.request(
            method, "/", body=body, headers={"X-Request-Number": str(number)}
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - began
    except (OSError, http.client.HTTPException):
        return 0, time.monotonic() - began
    finally:
        connection.close()


def send_many(
    port: int, count: int, methods: tuple[str, ...] = ("GET", "POST"), at_once: int = 4
) -> list[tuple[int, float]]:
    """Send numbered requests of the methods in turn, some at once."""
    words = itertools.islice(itertools.cycle(methods), count)
    with ThreadPoolExecutor(at_once) as threads:
        return list(
            threads.map(
                lambda each: send(port, each[1], each[0]), enumerate(words, start=1)
            )
        )


def listens(port: int) -> None:
    """Wait until a balancer listens."""

    def is_there() -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", port)) == 0

    until(is_there, "it to listen")


def begun(servers: list[Backend]) -> Counter[str]:
    """Return how often each request was begun, on all servers."""
    return sum((each.begun for each in servers), Counter())


@pytest.mark.parametrize(
    ("name", "modes", "dead"),
    [
        *itertools.product(NAMES, [(DRAINS, SERVES)], [1]),
        ("nginx", (DRAINS, DRAINS, SERVES), 1),
        ("nginx", (DRAINS, DRAINS, SERVES), 3),
        ("nginx", (DRAINS, DRAINS, DRAINS, DRAINS, SERVES), 3),
    ],
)
@pytest.mark.parametrize("at_once", matrix([1, 6], 6))
def test_servers_that_drain_and_dead_ones_leave_the_rest_to_serve(
    tmp_path: Path, name: str, modes: tuple[str, ...], dead: int, at_once: int
) -> None:
    """A refusal is followed by a closed port, and that by who serves."""
    with backends(*modes) as servers:
        ports = [int(each.server_address[1]) for each in servers]
        ports[1:1] = [free_port() for _ in range(dead)]
        with balancer(name, tmp_path, *ports) as port:
            listens(port)
            ends = send_many(port, 400, METHODS, at_once)
    assert Counter(status for status, _ in ends) == {200: 400}
    assert set(begun(servers).values()) == {1}


@pytest.mark.parametrize("name", NAMES)
def test_a_server_serves_again_and_the_only_other_one_drains(
    tmp_path: Path, name: str
) -> None:
    """Who refused a moment ago is asked again when nobody else is left."""
    with backends(SERVES, DRAINS) as servers:
        ports = [int(each.server_address[1]) for each in servers]
        with balancer(name, tmp_path, *ports, free_port()) as port:
            listens(port)
            for _ in range(6):
                ends = send_many(port, 60, METHODS)
                assert Counter(status for status, _ in ends) == {200: 60}
                for each in sorted(servers, key=lambda own: own.mode == SERVES):
                    each.mode = SERVES if each.mode == DRAINS else DRAINS


@pytest.mark.parametrize("name", NAMES)
def test_a_request_that_was_sent_runs_once_although_its_server_breaks_off(
    tmp_path: Path, name: str
) -> None:
    """The server that breaks off is met at first, and after a refusal."""
    with backends(DRAINS, BREAKS, SERVES) as servers:
        ports = [int(each.server_address[1]) for each in servers]
        with balancer(name, tmp_path, *ports, free_port()) as port:
            listens(port)
            ends = send_many(port, 200, ("POST", "PATCH"))
            assert set(begun(servers).values()) == {1}
            assert {status for status, _ in ends} <= {200, 502}
            assert sum(servers[1].begun.values()) > 20
            if name == "nginx":  # HAProxy repeats no request that it has sent
                ends = send_many(port, 200, ("GET", "PUT", "DELETE"))
                assert Counter(status for status, _ in ends) == {200: 200}


@pytest.mark.parametrize("name", matrix(NAMES, "nginx"))
@pytest.mark.parametrize("mode", [SERVES, DRAINS])
def test_a_host_without_power_delays_a_request_by_seconds(
    tmp_path: Path, name: str, mode: str
) -> None:
    """Also one that was refused before."""
    with backends(mode, SERVES) as servers, without_power() as away:
        addresses = [each.address for each in servers]
        # Without a check HAProxy remembers only the last server that it tried.
        options = ["--health=/"] * (name == "haproxy")
        with balancer(name, tmp_path, away, *addresses, options=options) as port:
            listens(port)
            ends = send_many(port, 60, METHODS, 10)
    assert Counter(status for status, _ in ends) == {200: 60}
    # Refused, it may meet it in its first place, its second, and its turn.
    assert max(took for _, took in ends) < (3.5 if mode == SERVES else 7)
    assert max(took for _, took in ends) > 0.9, "no request met the host without power"
    assert set(begun(servers).values()) == {1}


@pytest.mark.parametrize("name", matrix(NAMES, "nginx"))
@pytest.mark.parametrize("mode", [SERVES, DRAINS])
def test_a_silent_server_is_waited_for_and_its_request_runs_once(
    tmp_path: Path, name: str, mode: str
) -> None:
    """Whatever its method: the first server may still be at it."""
    with backends(SILENT, mode, SILENT) as servers:
        ports = [int(each.server_address[1]) for each in servers]
        with balancer(name, tmp_path, *ports, options=["--timeout=3"]) as port:
            listens(port)
            ends = send_many(port, 20, METHODS, 20)
    assert {status for status, _ in ends} <= {200, 504}
    assert len(begun(servers)) == 20
    assert set(begun(servers).values()) == {1}
    assert 2.5 < max(took for _, took in ends) < 6


@pytest.mark.parametrize("name", NAMES)
def test_large_bodies_are_sent_again(tmp_path: Path, name: str) -> None:
    """As large as the option says; nginx refuses larger ones."""
    body = b"x" * (2 << 20)
    with backends(DRAINS, SERVES) as servers:
        ports = [int(each.server_address[1]) for each in servers]
        options = ["--largest-body-mb=2"]
        with balancer(name, tmp_path, *ports, options=options) as port:
            listens(port)
            statuses = [send(port, "POST", 1, body)[0] for _ in range(6)]
            assert statuses == [200] * 6
            if name == "nginx":
                assert send(port, "POST", 2, body + b"x")[0] == 413


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", matrix([SERVES, DRAINS], DRAINS))
def test_a_websocket_opens_and_may_be_silent(
    tmp_path: Path, name: str, mode: str
) -> None:
    """Also one whose first server refuses it; it is silent for longer than a request."""
    with backends(mode, SERVES) as servers:
        ports = [int(each.server_address[1]) for each in servers]
        with balancer(name, tmp_path, *ports, options=["--timeout=1"]) as port:
            listens(port)
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", port), 10) as line:
                    line.sendall(TUNNEL)
                    head = line.recv(4096)
                    assert head.startswith(b"HTTP/1.1 101 "), head
                    line.settimeout(1.5)
                    with pytest.raises(TimeoutError):
                        line.recv(1)
                    line.sendall(b"hello")
                    assert line.recv(5) == b"hello"


@pytest.mark.parametrize("name", NAMES)
def test_no_connection_to_a_server_is_kept(tmp_path: Path, name: str) -> None:
    """Although nginx keeps them by default since 1.29.7: here older ones are told to."""
    kept = [("    zone app 64k;", "    zone app 64k; keepalive 32;")]
    kept += [
        (
            "max_fails=0; keepalive_requests",
            "max_fails=0; keepalive 32; keepalive_requests",
        )
    ]
    # It stands in front of `server`, as a default would.
    kept += [("map $http_upgrade", "proxy_http_version 1.1;\nmap $http_upgrade")]
    with backends(SERVES, DRAINS) as servers:
        ports = [int(each.server_address[1]) for each in servers]
        spoil = kept if name == "nginx" else ()
        with balancer(name, tmp_path, *ports, spoil=spoil) as port:
            listens(port)
            ends = send_many(port, 40)
    assert Counter(status for status, _ in ends) == {200: 40}
    for each in servers:
        assert set(each.of_connections) <= {0, 1}


@pytest.mark.parametrize("name", matrix(NAMES, "nginx"))
def test_an_answer_of_the_app_is_passed_on(tmp_path: Path, name: str) -> None:
    """Also one that the balancer itself could have made."""
    with backends(FAILS, FAILS) as servers:
        addresses = [each.address for each in servers]
        with balancer(name, tmp_path, *addresses) as port:
            listens(port)
            ends = send_many(port, 20, METHODS)
    assert Counter(status for status, _ in ends) == {502: 20}
    assert set(begun(servers).values()) == {1}


def test_haproxy_sends_to_a_server_without_a_check_when_it_is_back(
    tmp_path: Path,
) -> None:
    """A pool in which only one server has an agent; one without is dead for a while."""
    away = free_port()
    with backends(SERVES, SERVES) as servers:
        checked, *others = [*(each.address for each in servers), f"127.0.0.1:{away}"]
        spoil = [
            (f"server s{number} {address} check", f"server s{number} {address}")
            for number, address in enumerate(others, start=2)
        ]
        with balancer(
            "haproxy", tmp_path, checked, *others, spoil=spoil, options=["--health=/"]
        ) as port:
            listens(port)
            ends = send_many(port, 200, METHODS)
            assert Counter(status for status, _ in ends) == {200: 200}
            with backends(SERVES, port=away) as back:
                until(lambda: send(port, "GET", 1) and back[0].begun, "it to be asked")


WAITS = {"nginx": "connect_timeout 2s", "haproxy": "timeout connect 2s"}


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_check_finds_that_a_host_without_power_is_waited_for(
    tmp_path: Path, name: str
) -> None:
    """The first requests that have no answer end it."""
    with backends(SERVES) as servers, without_power() as away:
        spoil = [(WAITS[name], WAITS[name].replace("2s", "60s"))]
        with balancer(name, tmp_path, servers[0].address, away, spoil=spoil) as port:
            listens(port)
            assert WAITS[name] in check(port)


def test_check_finds_that_bodies_are_too_large(tmp_path: Path) -> None:
    """By nginx, which does not take them."""
    with backends(SERVES, SERVES) as servers:
        addresses = [each.address for each in servers]
        spoil = [("body_size 1048576", "body_size 100k")]
        with balancer("nginx", tmp_path, *addresses, spoil=spoil) as port:
            listens(port)
            assert "client_max_body_size" in check(port)


def check(port: int) -> str:
    """Return what `gapless balancer check` finds wrong."""
    argv = [str(GAPLESS), "balancer", "check", f"http://127.0.0.1:{port}/"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    return done.stdout
