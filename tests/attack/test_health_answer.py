"""The health answer: nobody keeps a balancer from it, and not everybody may ask."""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.agent.app_listing import ANSWER_S, AppListing
from gapless.agent.health import answer, sockets
from gapless.agent.health.askers import AllowedAskers, Unfinished, source_of
from gapless.agent.health.endpoint import MOST, HealthEndpoint
from gapless.base.errors import MisuseError
from gapless.config.toml import fleets

STRICT_S = 1.9
"""How long the strict client waits, a moment less than HAProxy by default."""
ATTACKER = "127.0.0.7"


def listed() -> dict[str, Any]:
    """Return what a supervisor lists."""
    instances = {"ready": 1, "wanted": 1}
    row = {"name": "app", "status": "online", "instances": instances, "modes": []}
    return {"apps": [row], "supervisor": {"draining": False}}


@contextlib.contextmanager
def answering(
    *, ask: Callable[[], Any] = listed, **how: Any
) -> Iterator[HealthEndpoint]:
    """Run a health endpoint on a port of loopback."""
    listing = AppListing(ask)
    listeners = sockets.listen("127.0.0.1:0")
    endpoint = HealthEndpoint(listeners, ("app",), listing, **how)
    try:
        yield endpoint
    finally:
        endpoint.close()
        listing.close()


def ask_strictly(port: int, source: str = "127.0.0.1") -> int:
    """Ask as a balancer does, which waits for so long and no longer; return the status."""
    line = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=STRICT_S, source_address=(source, 0)
    )
    with contextlib.closing(line):
        line.request("GET", "/app")
        return line.getresponse().status


@contextlib.contextmanager
def attack(
    port: int, source: str, sent: bytes, *, pause_s: float = 0
) -> Iterator[None]:
    """Open connection after connection, send a few bytes on each, and keep them open."""
    is_over = threading.Event()

    def run() -> None:
        held: list[socket.socket] = []
        while not is_over.wait(pause_s):
            with contextlib.suppress(OSError):
                sock = socket.create_connection(
                    ("127.0.0.1", port), timeout=1, source_address=(source, 0)
                )
                held.append(sock)
                if sent:
                    sock.send(sent)
            for each in held[:-400]:
                each.close()
            del held[:-400]
        for each in held:
            each.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    ("balancer", "sent", "pause_s"),
    [
        ("127.0.0.1", b"G", 1 / 65),
        ("127.0.0.1", b"", 0),
        (ATTACKER, b"G", 0),
        (ATTACKER, b"GET /app HTTP/1.1", 0),
    ],
)
def test_a_strict_client_is_answered_while_others_open_connections(
    balancer: str, sent: bytes, pause_s: float
) -> None:
    """One byte each, 65 a second or as many as will go; also from its own address."""
    with (
        answering() as endpoint,
        attack(endpoint.port, ATTACKER, sent, pause_s=pause_s),
    ):
        assert {ask_strictly(endpoint.port, balancer) for _ in range(100)} == {200}


def test_who_sends_a_byte_now_and_then_is_hung_up_on() -> None:
    """A connection has one time for its whole request, not one for each byte."""
    with answering() as endpoint:
        began = time.monotonic()
        sock = socket.create_connection(("127.0.0.1", endpoint.port), timeout=0.1)
        with sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() < began + 10:
                sock.send(b"G")
                with contextlib.suppress(TimeoutError):
                    if sock.recv(1) == b"":
                        break
        assert time.monotonic() - began < 5


def test_a_supervisor_that_hangs_and_a_flood_of_whole_requests_delay_nobody() -> None:
    """Requests wait for a list together, not one after the other."""
    goes_on, was_asked = threading.Event(), threading.Event()

    def ask() -> dict[str, Any]:
        if was_asked.is_set():
            goes_on.wait(30)
        was_asked.set()
        return listed()

    request = b"GET /app HTTP/1.0\r\n\r\n"
    with answering(ask=ask) as endpoint:
        try:
            assert ask_strictly(endpoint.port) == 200
            with attack(endpoint.port, ATTACKER, request):
                began = time.monotonic()
                assert {ask_strictly(endpoint.port) for _ in range(10)} == {200}
                assert time.monotonic() - began < 10 * (ANSWER_S + 0.2)
        finally:
            goes_on.set()


def test_without_a_free_descriptor_it_goes_on_when_there_is_one() -> None:
    """Accepting fails then, for everybody; the loop neither ends nor spins."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with answering() as endpoint, contextlib.ExitStack() as held:
        probe = held.enter_context(socket.socket())
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno() + 20, hard))
        try:
            for _ in range(40):
                with contextlib.suppress(OSError):
                    sock = held.enter_context(socket.socket())
                    sock.settimeout(1)
                    sock.connect(("127.0.0.1", endpoint.port))
            held.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        until = time.monotonic() + 10
        status = 0
        while status != 200 and time.monotonic() < until:
            with contextlib.suppress(OSError):
                status = ask_strictly(endpoint.port)
        assert status == 200
        assert endpoint.is_running


def test_only_the_networks_of_health_from_are_answered() -> None:
    """Others are hung up on, and the agent says so once for each address."""
    told: list[str] = []
    allowed = AllowedAskers(("127.0.0.0/30", "::1"))
    with answering(allowed=allowed, complain=told.append) as endpoint:
        assert ask_strictly(endpoint.port) == 200
        for _ in range(3):
            with pytest.raises((http.client.HTTPException, OSError)):
                ask_strictly(endpoint.port, ATTACKER)
        assert ask_strictly(endpoint.port) == 200
    assert told == [
        f"{ATTACKER} asked for the health answer, and is not in health_from"
    ]


@pytest.mark.parametrize(
    ("networks", "host", "may"),
    [
        ((), "203.0.113.9", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("fd00::/8",), "fd00::1%eth0", True),
        (("fd00::/8",), "10.0.0.1", False),
        (("10.0.0.7",), "10.0.0.7", True),
        (("10.0.0.7",), "10.0.0.8", False),
    ],
)
def test_a_network_has_the_addresses_that_are_in_it(
    networks: tuple[str, ...], host: str, *, may: bool
) -> None:
    """An address of IPv4 is one, also where a socket of IPv6 shows it."""
    assert AllowedAskers(networks).allow(host) is may


def test_who_has_most_connections_gives_way_whatever_addresses_it_has() -> None:
    """A whole /64 is one source: who has one address of it has them all."""
    unfinished = Unfinished[str]()
    unfinished.add(source_of("2001:db8:0:1::1"), "balancer")
    for number in range(2, 50):
        unfinished.add(source_of(f"2001:db8:0:2::{number}"), f"attacker {number}")
    unfinished.add(source_of("10.0.0.1"), "another")
    assert unfinished.first_out() == "attacker 2"
    for number in range(2, 50):
        unfinished.remove(source_of("2001:db8:0:2::1"), f"attacker {number}")
    assert len(unfinished) == 2
    assert unfinished.first_out() == "balancer"
    assert MOST > 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=60))
def test_a_source_loses_no_connection_to_one_that_has_more(
    steps: list[tuple[int, int]],
) -> None:
    """Whatever came and went before."""
    unfinished, by_source = Unfinished[int](), dict[int, list[int]]()
    for key, (source, kind) in enumerate(steps):
        own = by_source.setdefault(source, [])
        if kind < 7 or not own:
            unfinished.add(str(source), key)
            own.append(key)
        else:
            unfinished.remove(str(source), own.pop(kind % len(own)))
    assert len(unfinished) == sum(map(len, by_source.values()))
    if len(unfinished):
        most = max(map(len, by_source.values()))
        first = unfinished.first_out()
        assert first in [own[0] for own in by_source.values() if len(own) == most]


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"GET /app HTTP/1.1\r\n", b"\r\n\r\n", b"\n\n", b" ", b"%"]),
    ),
    max_size=6,
)


@settings(max_examples=500, deadline=None)
@given(PIECES)
def test_any_bytes_are_a_request_or_a_value_error(pieces: list[bytes]) -> None:
    """However they are cut, they are read as if they had come at once."""
    head, whole = bytearray(), False
    for piece in pieces:
        before = len(head)
        head += piece
        whole = answer.is_whole(head, before)
        if whole:
            break
    assert whole == answer.is_whole(head)
    with contextlib.suppress(ValueError):
        app, _ = answer.app_of(("app",), *answer.request_of(head))
        assert app in ("", "app")


@pytest.mark.soak
@settings(max_examples=200_000, deadline=None)
@given(PIECES)
def test_any_bytes_for_hours(pieces: list[bytes]) -> None:
    """The same, with many more of them."""
    test_any_bytes_are_a_request_or_a_value_error.hypothesis.inner_test(pieces)  # type: ignore[attr-defined]  # what hypothesis has wrapped


def test_a_head_that_does_not_end_is_refused() -> None:
    """It is held no longer than a request may be."""
    with pytest.raises(ValueError, match="too long"):
        answer.is_whole(b"x" * (answer.LONGEST_HEAD_BYTES + 1))


def test_without_a_host_it_listens_on_its_own_address_and_on_loopback() -> None:
    """Not on every address; one that is not here, behind NAT, gives way to the next."""
    own = "127.0.0.9"
    made = sockets.listen(":0", ["203.0.113.5", "no.such.host.invalid", own])
    with contextlib.ExitStack() as stack:
        for sock in made:
            stack.callback(sock.close)
        names = [sock.getsockname()[0] for sock in made]
        assert names == [own, sockets.LOOPBACK]
        assert sockets.shown(made).count(f":{made[0].getsockname()[1]}") == 2
        (every,) = sockets.listen("*:0")
        stack.callback(every.close)
        assert every.getsockname()[0] in ("0.0.0.0", "::")
        with pytest.raises(
            MisuseError, match=r"cannot answer balancers on 127\.0\.0\.9"
        ):
            sockets.listen(f":{made[0].getsockname()[1]}", [own])


@pytest.mark.parametrize(
    "wrong", ["10.0.0.1/8", "10.0.0.0/33", "app1", "", "10.0.0.0/8 "]
)
def test_what_is_no_network_is_refused_with_its_line(
    tmp_path: Path, wrong: str
) -> None:
    """A typing mistake does not open the answer to everybody."""
    path = tmp_path / "gapless.toml"
    path.write_text(
        f'[release.a]\nbase = "{tmp_path}"\n[rollout.a]\nhealth_from = ["{wrong}"]\n'
    )
    with pytest.raises(MisuseError, match=r"4: rollout\.a\.health_from"):
        fleets.load(str(path), {})
    path.write_text(
        f'[release.a]\nbase = "{tmp_path}"\n[rollout.a]\nhealth_from = ["10.0.0.0/8"]\n'
    )
    assert fleets.load(str(path), {})["a"].health_from == ("10.0.0.0/8",)
