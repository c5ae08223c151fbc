"""One exchange with a real client and a real program: whole answers, or a close."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable

import pytest

from gapless.base import clock, wakeup
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.http import exchange as exchanges
from gapless.supervisor.relay.http import heads
from gapless.supervisor.relay.http.exchange import BUFFER_BYTES, Exchange, Outcome
from rig import wait
from rig.relay.exchanges import (
    ANSWER,
    ANSWER_RELAYED,
    CLOSE,
    GET,
    SWITCH,
    UPGRADE,
    post,
    read_to_end,
    read_until,
    relayed,
    reset,
)

# --- answers ------------------------------------------------------------------------------

ANSWERS = {
    "a length": (GET, ANSWER, ANSWER_RELAYED),
    "a head that says keep-alive": (
        GET,
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    "HEAD": (
        GET.replace(b"GET", b"HEAD"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n" + CLOSE + b"\r\n",
    ),
    "204": (
        GET,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n" + CLOSE + b"\r\n",
    ),
    "304": (
        GET,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n" + CLOSE + b"\r\n",
    ),
    "chunks and a trailer": (
        GET,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"\r\n"
        b"2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    "early hints": (
        GET,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + ANSWER,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + ANSWER_RELAYED,
    ),
    "bytes behind its end": (GET, ANSWER + b"HTTP/1.1 408 Late\r\n", ANSWER_RELAYED),
    "lone line feeds": (
        GET,
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok",
    ),
}


@pytest.mark.parametrize("program_stays", [True, False], ids=["stays", "closes"])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "byte by byte"])
@pytest.mark.parametrize(
    ("request_", "answer", "expected"), ANSWERS.values(), ids=ANSWERS.keys()
)
def test_an_answer_reaches_its_client_whole(
    request_: bytes,
    answer: bytes,
    expected: bytes,
    *,
    at_once: bool,
    program_stays: bool,
) -> None:
    """Its connection ends behind it, whether the program closes or not."""
    with relayed(request_) as it, it.accept() as program:
        forwarded = read_until(program, b"\r\n\r\n")
        assert forwarded == request_[:-2] + CLOSE + b"\r\n"
        program.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # behind its end
            for piece in (
                [answer] if at_once else [answer[i : i + 1] for i in range(len(answer))]
            ):
                program.sendall(piece)
        if not program_stays:
            program.close()
        assert read_to_end(it.client) == expected
        assert it.outcome() is Outcome.ANSWERED


UNFRAMED = {
    "until it closes": (
        b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 10_000,
        b"HTTP/1.1 200 OK\r\n" + CLOSE + b"\r\n" + b"a" * 10_000,
    ),
    "HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n" + CLOSE + b"\r\nok",
    ),
}
REFUSED_BY_H11 = {
    "HTTP/0.9": b"<p>hello</p>\n\n<p>world</p>\r\n\r\n",
    "no version": b"200 OK\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nX : a\r\n\r\nok",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    + CLOSE
    + b"\r\nzz\r\nok",
}


@pytest.mark.parametrize(("answer", "expected"), UNFRAMED.values(), ids=UNFRAMED.keys())
def test_an_answer_that_ends_with_its_connection_is_whole(
    answer: bytes, expected: bytes
) -> None:
    """No length says where it ends."""
    with relayed(GET) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        program.sendall(answer)
        program.close()
        assert read_to_end(it.client) == expected
        assert it.outcome() is Outcome.ANSWERED


@pytest.mark.parametrize("answer", REFUSED_BY_H11.values(), ids=REFUSED_BY_H11.keys())
def test_an_answer_that_h11_refuses_goes_on_untouched(answer: bytes) -> None:
    """Its client may understand it."""
    with relayed(GET) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        program.sendall(answer)
        program.close()
        assert read_to_end(it.client) == answer
        it.outcome()


def test_an_answers_head_beyond_the_limit_reaches_its_client() -> None:
    """With a line about its connection, or without: as much of it as there is at once."""
    answer = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\nok"
    with relayed(GET) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        program.sendall(answer)
        program.close()
        assert read_to_end(it.client).replace(CLOSE, b"") == answer
        assert it.outcome() is Outcome.ANSWERED


def test_an_answer_that_is_streamed_comes_as_it_is_written() -> None:
    """No piece waits for the next."""
    with relayed(GET) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        program.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        read_until(it.client, b"close\r\n\r\n")
        for number in range(20):
            program.sendall(b"3\r\n%03d\r\n" % number)
            assert read_until(it.client, b"%03d\r\n" % number)
        program.sendall(b"0\r\n\r\n")
        assert read_to_end(it.client) == b"0\r\n\r\n"
        assert it.outcome() is Outcome.ANSWERED


def test_a_large_answer_to_a_slow_client_waits_in_the_program() -> None:
    """No more than a buffer of it is here."""
    body = bytes(range(256)) * 80_000  # 20 MB
    with relayed(GET) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        writes = threading.Thread(target=lambda: program.sendall(head + body))
        writes.start()
        wait.until(lambda: it.most_buffered >= BUFFER_BYTES, "the client is behind")
        rounds = it.rounds
        writes.join(0.1)
        assert writes.is_alive()
        assert it.rounds - rounds < 1000  # it does not spin
        found = read_to_end(it.client)
        writes.join()
        assert found.endswith(body)
        assert it.outcome() is Outcome.ANSWERED
        assert it.most_buffered <= 2 * BUFFER_BYTES


# --- who vanishes -------------------------------------------------------------------------


def test_where_nobody_listens_nothing_was_read() -> None:
    """So its process can still answer."""
    with relayed(GET, listens=False) as it:
        wait.until(lambda: it.exchange.outcome, "it has ended")
        assert it.outcome() is Outcome.REFUSED


@pytest.mark.parametrize("read", [1, len(GET)], ids=["a byte", "all"])
def test_a_request_that_its_process_has_begun_to_read_is_refused(read: int) -> None:
    """It answers: nothing goes to the program."""
    with (
        relayed(GET, before=lambda taken: taken.recv(read)) as it,
        it.accept() as program,
    ):
        assert read_to_end(program) == b""
        wait.until(lambda: it.exchange.outcome, "it has ended")
        assert it.exchange.outcome is Outcome.REFUSED


def test_what_begins_like_the_request_may_be_the_rest_of_a_body() -> None:
    """It is refused: its process has read on, and finds these bytes where it is."""
    with (
        relayed(GET * 2, before=lambda taken: taken.recv(len(GET))) as it,
        it.accept() as program,
    ):
        assert read_to_end(program) == b""
        wait.until(lambda: it.exchange.outcome, "it has ended")
        assert it.exchange.outcome is Outcome.REFUSED


Vanish = Callable[[socket.socket], None]


@pytest.mark.parametrize("vanish", [reset, socket.socket.close], ids=["reset", "close"])
@pytest.mark.parametrize(
    ("phase", "sent"),
    [
        ("before the head was read", b""),
        ("after the head", b""),
        ("in the body", b""),
        ("in the answer's head", b"HTTP/1.1 200 OK\r\nContent-Le"),
        ("in the answer", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        (
            "in a chunk",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        ),
    ],
)
def test_a_program_that_vanishes_ends_the_connection(
    phase: str, sent: bytes, vanish: Vanish
) -> None:
    """At once, without another try; what it has sent is passed on."""
    request = post(10) if phase == "in the body" else GET
    with relayed(request) as it, it.accept() as program:
        if phase == "in the body":
            it.client.sendall(b"abc")
        if phase != "before the head was read":
            read_until(program, b"abc" if phase == "in the body" else b"\r\n\r\n")
        program.sendall(sent)
        if sent.endswith(b"abc"):
            wait.until(lambda: sockets.unread(it.client) > 50, "it was passed on")
        vanish(program)
        found = read_to_end(it.client)
        assert len(found) >= len(sent) or vanish is reset
        early = (Outcome.CUT, Outcome.REFUSED)  # it was not connected yet
        assert it.outcome() in (
            early if phase == "before the head was read" else early[:1]
        )


def test_a_client_never_takes_half_an_answer_for_a_whole_one() -> None:
    """Where only the end of the connection ends it, an error of it is passed on."""
    with relayed(GET) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        program.sendall(b"HTTP/1.1 200 OK\r\n\r\nabc")
        read_until(it.client, b"abc")
        reset(program)
        with pytest.raises(ConnectionResetError):
            it.client.recv(100)
        assert it.outcome() is Outcome.CUT


@pytest.mark.parametrize("phase", ["connecting", "waiting", "body", "answer", "tunnel"])
def test_a_client_that_vanishes_ends_the_exchange(phase: str) -> None:
    """The program sees the end, and no answer is owed."""
    request = {"body": post(10), "tunnel": UPGRADE}.get(phase, GET)
    with relayed(request) as it:
        if phase == "connecting":
            reset(it.client)
            wait.until(lambda: it.exchange.outcome, "it has ended")
            with it.accept() as program:
                read_to_end(program)
            assert it.outcome() is Outcome.LEFT
            return
        with it.accept() as program:
            read_until(program, b"\r\n\r\n")
            if phase == "answer":
                program.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
                read_until(it.client, b"abc")
            if phase == "tunnel":
                program.sendall(SWITCH)
                read_until(it.client, b"\r\n\r\n")
            reset(it.client)
            read_to_end(program)
            assert it.outcome() is Outcome.LEFT


def test_a_client_that_left_is_noticed_by_what_it_is_sent() -> None:
    """A close cannot be told from the end of its half."""
    with relayed(GET) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        it.client.close()
        program.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nabc")
        wait.until(lambda: it.exchange.outcome, "it has ended")
        assert it.outcome() is Outcome.LEFT


def test_a_program_that_never_accepts_gives_the_request_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its queue is full: the connection is not made."""
    monkeypatch.setattr(exchanges, "CONNECT_S", 0.3)
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    with listener, contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        taken = stack.enter_context(listener.accept()[0])
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        client.sendall(GET)
        wait.until(lambda: sockets.unread(taken) == len(GET), "it came")
        head = heads.judge(GET)[1]
        assert head is not None
        with selectors.DefaultSelector() as selector:
            exchange = Exchange(selector, taken, head)

            def ended() -> Outcome | None:
                wakeup.call_ready(selector, 0.001, lambda _: None)
                exchange.tick(clock.monotonic())
                return exchange.outcome

            assert wait.until(ended, "it has ended") is Outcome.REFUSED
            assert len(selector.get_map()) == 0
        assert sockets.unread(taken) == len(GET)
