"""Connections of a real process are taken while it serves: none of their answers is lost.

The old generation is a small program of each kind, in a process of its own; the new one is
the test itself, which listens at the same address.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from dataclasses import replace

import pytest

from gapless.base import clock
from gapless.supervisor.kernel import processes
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.connection import Connection, State
from gapless.supervisor.relay.mend import mend
from gapless.supervisor.relay.stopped import states_of_threads
from gapless.supervisor.relay.takeover import most_in_focus
from rig import wait
from rig.relay.generations import (
    GET,
    Old,
    Relaying,
    exchange,
    get,
    hiding,
    kill,
    old,
    read_answer,
    relay_process,
    relaying,
    until_new,
)

KINDS = pytest.mark.parametrize("kind", ["loop", "threads"])


@pytest.mark.parametrize(
    ("held", "taken", "age_s", "most"),
    [
        (50, 0, 0.0, 1),
        (50, 1, 0.0, 2),
        (50, 3, 0.05, 4),
        (50, 500, 0.0, 8),
        (2000, 500, 0.0, 125),
        (50, 0, 0.35, 4),  # some cannot be caught: the others do not wait for them
        (50, 0, 60.0, 8),
    ],
)
def test_a_new_process_gets_its_first_requests_one_by_one(
    held: int, taken: int, age_s: float, most: int
) -> None:
    """More come with each that was answered, and in time."""
    assert most_in_focus(held, taken, age_s) == most


# --- taken, and nothing lost --------------------------------------------------------------


@KINDS
def test_a_connection_that_is_silent_is_taken_with_its_next_request(kind: str) -> None:
    """The new generation answers it, and the process has one connection less."""
    with old(kind) as it:
        assert exchange(it.clients[0]) == b"old"
        with relaying(it) as relay:
            wait.until(lambda: relay.states() == [State.PARKED], "it is parked")
            parked = next(iter(relay.takeover.connections.values()))._parking
            assert parked is not None
            wait.until(lambda: parked.idle, "it rests")
            assert until_new(it.clients[0]) == 1
            wait.until(lambda: relay.states() == [], "nothing is held")
        assert it.process.wait(10) == 0


@KINDS
def test_clients_that_never_pause_are_taken(kind: str) -> None:
    """Each request of them is answered once, and soon by the new generation."""
    with old(kind, 4) as it, relay_process(it):
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda client=each: found.append(until_new(client)))
            for each in it.clients
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(found) == 4
        assert len(it.heard) == 4
        assert it.process.wait(10) == 0


def until_settled(relay: Relaying) -> Connection:
    """Return the only connection once it is parked, and its process may end."""
    wait.until(lambda: relay.states() == [State.PARKED], "it is parked")
    (parked,) = relay.takeover.connections.values()
    wait.until(lambda: parked.settled, "it rests")
    return parked


def end_process(it: Old, relay: Relaying) -> None:
    """End the process, as was asked for; its connection has no process then."""
    relay.takeover.ending = True
    it.process.kill()
    wait.until(lambda: relay.states() == [], "its process gone")


@KINDS
@pytest.mark.parametrize("asks", [True, False])
def test_a_request_waits_for_who_follows_its_process(kind: str, asks: bool) -> None:
    """It is settled at once; it is answered when somebody accepts, and not before."""
    with old(kind) as it:
        client = it.clients[0]
        assert exchange(client) == b"old"
        with relaying(it, at_once=True, holds=True) as relay:
            parked = until_settled(relay)
            if asks:
                client.sendall(GET)
                wait.until(lambda: parked.waits, "its request waits")
            assert relay.takeover.status().is_settled
            end_process(it, relay)
            if not asks:
                client.sendall(GET)
            assert it.heard == []
            relay.takeover.renew(replace(relay.takeover.aim, holds=False))
            assert read_answer(client) == b"new"
            assert client.recv(100) == b""  # it said that it is the last one
            wait.until(lambda: not relay.takeover.alone, "nothing is held")
        assert len(it.heard) == 1


def test_half_a_request_without_a_process_ends_with_its_app() -> None:
    """It is closed when the app is dropped, and the relay goes on with others."""
    with old("loop") as it:
        client = it.clients[0]
        assert exchange(client) == b"old"
        with relaying(it, at_once=True, holds=True) as relay:
            until_settled(relay)
            end_process(it, relay)
            relay.takeover.renew(replace(relay.takeover.aim, holds=False))
            client.sendall(GET[:20])
            (alone,) = relay.takeover.alone
            wait.until(lambda: not alone.is_quiet(), "something has come")
            relay.takeover.drop()
            wait.until(lambda: not relay.takeover.alone, "nothing is held")
            relay.wait_for_rounds(3)
        assert client.recv(100) == b""


@KINDS
def test_a_connection_that_its_process_never_read_outlives_it(kind: str) -> None:
    """A process that hangs has accepted it, and no more."""
    with old(kind) as it:
        client = it.clients[0]
        it.process.send_signal(signal.SIGSTOP)
        wait.until(lambda: set(states_of_threads(it.process.pid)) == {"T"}, "it stops")
        client.sendall(GET)
        with relaying(it, at_once=True) as relay:
            wait.until(lambda: relay.states() == [State.FREE], "it is seen")
            it.process.kill()
            assert read_answer(client) == b"new"


@KINDS
def test_a_streamed_answer_is_never_cut(kind: str) -> None:
    """Its process writes it to its end, however long it rests between its pieces."""
    with old(kind) as it:
        client = it.clients[0]
        client.sendall(get("/stream"))
        assert client.recv(1000).endswith(b"\r\n\r\n")
        with relaying(it) as relay:
            for _ in range(3):
                wait.until(lambda: relay.states() == [it.between], "it was looked at")
                it.tell(b"more")
                assert client.recv(1000) == b"3\r\nold\r\n"
            it.tell(b"end")
            assert client.recv(1000) == b"0\r\n\r\n"
            until_new(client)


@KINDS
def test_half_a_head_stays_with_its_process(kind: str) -> None:
    """Wherever it is when the other half comes."""
    with old(kind) as it:
        client = it.clients[0]
        assert exchange(client) == b"old"
        with relaying(it) as relay:
            wait.until(relay.states, "it is held")
            for _ in range(5):
                client.sendall(GET[:20])
                given_back = relay.takeover.counts.given_back
                wait.until(lambda: State.TAKEN not in relay.states(), "it is not taken")
                client.sendall(GET[20:])
                assert read_answer(client) == b"old"
                assert relay.takeover.counts.given_back >= given_back


def test_a_process_that_reads_late_does_not_lose_a_request() -> None:
    """It is in the middle of its work when the next request comes, and reads again then."""
    with old("loop") as it:
        client = it.clients[0]
        # The first request of all could be taken at once: nothing was owed before it.
        assert exchange(client) == b"old"
        with relaying(it) as relay:
            assert exchange(client, get("/late")) == b"old"
            wait.until(lambda: relay.states() == [State.PARKED], "it is parked")
            client.sendall(GET)
            it.tell(b"go")
            if read_answer(client) == b"old":
                until_new(client)


def test_a_process_that_reads_late_does_not_get_a_part_of_a_request() -> None:
    """Half of a request has come when it begins to read, and the rest comes then."""
    body = b"1" * 1000
    request = (
        b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n\r\n" + body
    )
    with old("loop") as it:
        client = it.clients[0]
        assert exchange(client) == b"old"
        with relaying(it) as relay:
            assert exchange(client, get("/often")) == b"old"
            wait.until(lambda: relay.states() == [State.PARKED], "it is parked")
            client.sendall(request[:-500])
            (held,) = relay.takeover.connections.values()
            wait.until(
                lambda: sockets.unread(held.sock) or it.asked.is_set(), "it came"
            )
            relay.wait_for_rounds(20)
            assert State.TAKEN not in relay.states()
            it.tell(b"go")
            client.sendall(request[-500:])
            if read_answer(client) == b"old":
                until_new(client)


@pytest.mark.parametrize("kind", ["loop", "threads"])
def test_what_is_left_of_a_body_reaches_nobody(kind: str) -> None:
    """The new generation answers before it has read a body that looks like requests."""
    upload = hiding(3_000_000)
    with old(kind) as it:
        client = it.clients[0]
        with relaying(it) as relay:
            answers = b""
            with contextlib.suppress(ConnectionError):
                while it.heard == []:
                    client.sendall(upload)
                    answers = client.recv(1000)
                    assert answers.endswith((b"old", b"new"))
            assert it.heard, "it was closed before it was taken"
            wait.until(lambda: relay.states() == [], "nothing is held")
            wait.until(lambda: it.marks() == set(), "its process has let go")
        assert it.process.wait(10) == 0
        assert it.process.stdout is not None
        assert it.process.stdout.read() == b"", "it ran a part of the body"


@KINDS
def test_what_is_left_when_a_relay_dies_reaches_nobody(kind: str) -> None:
    """It had read a part of a large body, and its process stands still for it."""
    assert any(_dies_with_a_part(kind) for _ in range(5)), "it was never taken in time"


def _dies_with_a_part(kind: str) -> bool:
    """Let a relay die with a part of a body; return False if it had all of it before."""
    upload = hiding(3_000_000)
    first, rest = upload[:2_000_000], upload[2_000_000:]
    with old(kind) as it:
        client = it.clients[0]
        it.answers.clear()
        with relay_process(it) as relay:
            answers: list[bytes] = []

            def is_taken() -> bool:
                client.sendall(first)
                if it.asked.wait(0.05):
                    return True
                client.sendall(rest)
                it.answers.set()  # for the new generation, were it taken only now
                answers.append(read_answer(client))
                it.answers.clear()
                return answers[-1] == b"new"

            wait.until(is_taken, "it is taken", 60)
            if answers and answers.pop() == b"new":
                return False
            assert set(answers) <= {b"old"}
            relay.kill()
            relay.wait()
            with contextlib.suppress(ConnectionError):
                client.sendall(rest)
            found = processes.read(it.process.pid)
            assert found is not None
            mend([found])
            with contextlib.suppress(ConnectionError):
                assert client.recv(1000) == b""
            assert it.process.wait(10) == 0
        assert it.process.stdout is not None
        assert it.process.stdout.read() == b"", "it ran a part of the body"
    return True


# --- left to its process ------------------------------------------------------------------


@KINDS
def test_a_mark_of_the_programs_own_is_left_alone(kind: str) -> None:
    """And so is its connection."""
    with old(kind) as it:
        assert exchange(it.clients[0], get("/own-mark")) == b"old"
        with relaying(it) as relay:
            wait.until(lambda: relay.takeover._scanned, "it has looked")
            wait.until(lambda: relay.states() == [], "nothing is held")
            assert it.marks() == {7}
            for _ in range(3):
                assert exchange(it.clients[0]) == b"old"


@KINDS
def test_a_connection_whose_mark_is_capped_is_left_alone(kind: str) -> None:
    """Its process is woken by each byte, as before."""
    with old(kind, receive_buffer=8192) as it:
        assert exchange(it.clients[0]) == b"old"
        with relaying(it) as relay:
            wait.until(lambda: relay.takeover._scanned, "it has looked")
            wait.until(lambda: relay.states() == [], "nothing is held")
            assert it.marks() == {1}
            for _ in range(3):
                assert exchange(it.clients[0]) == b"old"


@KINDS
@pytest.mark.parametrize(
    "spoken",
    [b"\x17\x03\x03\x00\x05hello", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"],
    ids=["TLS", "a websocket"],
)
def test_another_protocol_is_given_back_and_left(kind: str, spoken: bytes) -> None:
    """Its bytes reach the process in order and at once."""
    with old(kind) as it:
        client = it.clients[0]
        assert exchange(client) == b"old"
        with relaying(it) as relay:
            wait.until(lambda: relay.states() == [State.PARKED], "it is parked")
            parked = next(iter(relay.takeover.connections.values()))._parking
            assert parked is not None
            wait.until(lambda: parked.idle, "it rests")

            def is_left() -> bool:
                client.sendall(spoken)
                assert client.recv(1000) == b"old:" + spoken
                return relay.states() == []

            wait.until(is_left, "it is left")
            assert it.marks() == {1}


@KINDS
def test_pipelined_requests_are_answered_in_order_or_closed(kind: str) -> None:
    """The second is never forwarded, and none is answered twice."""
    with old(kind) as it:
        client = it.clients[0]
        assert exchange(client) == b"old"
        with relaying(it) as relay:
            wait.until(relay.states, "it is held")
            found = b""
            while b"new" not in found:
                client.sendall(GET + GET)
                found = b""
                while found.count(b"HTTP/1.1 200 OK") < 2 or found[-3:] not in (
                    b"old",
                    b"new",
                ):
                    piece = client.recv(1000)
                    if not piece:
                        break
                    found += piece
            assert found.count(b"HTTP/1.1 200 OK") == found.count(b"old") + 1
            assert len(it.heard) == 1
            assert it.heard[0].count(b"GET") == 1


@KINDS
def test_the_end_of_an_answer_that_its_process_closes_is_seen_at_once(
    kind: str,
) -> None:
    """The relay's duplicate does not keep it open."""
    with old(kind) as it:
        client = it.clients[0]
        client.sendall(get("/until-it-closes"))
        assert read_answer(client) == b"old"
        with relaying(it) as relay:
            wait.until(lambda: relay.states() == [it.between], "it was looked at")
            began = clock.monotonic()
            it.tell(b"close")
            assert client.recv(100) == b""
            assert clock.monotonic() - began < 1


# --- a relay that dies --------------------------------------------------------------------


@KINDS
def test_what_a_dead_relay_had_parked_goes_back_to_its_process(kind: str) -> None:
    """Also with a request that waits on it."""
    with old(kind) as it:
        client = it.clients[0]
        assert exchange(client) == b"old"
        with relay_process(it) as first:
            wait.until(lambda: it.marks() == {sockets.PARKED}, "it is parked")
            kill(first, it)
            client.sendall(GET)
            with relay_process(it):
                assert read_answer(client) in (b"old", b"new")


@KINDS
def test_what_a_dead_relay_had_taken_is_closed(kind: str) -> None:
    """A request of it was read, and nobody else can answer it."""
    with old(kind) as it:
        client = it.clients[0]
        assert exchange(client) == b"old"
        it.answers.clear()
        with relay_process(it) as first:
            wait.until(lambda: it.marks() == {sockets.PARKED}, "it is parked")

            def is_taken() -> bool:
                with contextlib.suppress(BlockingIOError):
                    client.setblocking(False)
                    client.recv(1000)
                    client.sendall(GET)
                return bool(it.heard)

            client.sendall(GET)
            wait.until(is_taken, "it is taken")
            assert it.marks() == {sockets.TAKEN}
            kill(first, it)
            client.settimeout(10)
            with relay_process(it):
                assert client.recv(100) == b""
        assert it.process.wait(10) == 0
        assert len(it.heard) == 1


@KINDS
def test_what_a_dead_relay_had_not_parked_is_as_before(kind: str) -> None:
    """Whenever it dies: the process answers, or the next relay sees to it."""
    with old(kind) as it:
        client = it.clients[0]
        for _ in range(3):
            with relay_process(it) as process:
                wait.until(lambda: it.marks() != {1}, "it is parked")
                kill(process, it)
            with relay_process(it):
                answer = exchange(client)
                assert answer in (b"old", b"new")
            if answer == b"new":
                return
            with relaying(it):
                wait.until(it.marks, "the next one looks")
