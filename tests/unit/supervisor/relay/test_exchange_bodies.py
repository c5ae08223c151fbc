"""Bodies of requests and tunnels: as they came, no more of them, and bounded here."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from gapless.supervisor.relay.http.exchange import BUFFER_BYTES, Outcome
from rig import wait
from rig.relay.exchanges import (
    ANSWER,
    ANSWER_RELAYED,
    CHUNKED,
    CLOSE,
    GET,
    MORE_THAN_BUFFERS,
    SWITCH,
    UPGRADE,
    post,
    read_to_end,
    read_until,
    relayed,
    reset,
)

# --- bodies of requests -------------------------------------------------------------------


def test_a_body_that_came_with_its_head_goes_with_it() -> None:
    """And the head of the next request behind it does not."""
    with relayed(post(4) + b"body" + GET) as it, it.accept() as program:
        expected = post(4, b"Connection: close") + b"body"
        assert read_until(program, b"body") == expected
        program.sendall(ANSWER)
        assert read_to_end(it.client) == ANSWER_RELAYED
        assert read_to_end(program) == b""
        assert it.outcome() is Outcome.ANSWERED


@pytest.mark.parametrize("coding", ["length", "chunks"])
def test_a_pipelined_request_is_never_forwarded(coding: str) -> None:
    """However it comes behind the first."""
    first, body = (
        (post(4), b"body")
        if coding == "length"
        else (CHUNKED, b"4\r\nbody\r\n0\r\n\r\n")
    )
    with relayed(first) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        it.client.sendall(body + GET)
        assert read_until(program, body) == body
        it.client.sendall(GET)
        program.sendall(ANSWER)
        assert read_to_end(it.client) == ANSWER_RELAYED
        assert read_to_end(program) == b""
        it.outcome()


def test_a_body_in_chunks_goes_on_as_it_came() -> None:
    """Byte by byte, with an extension and a trailer longer than the head."""
    body = b"4;a=b\r\nbody\r\n0\r\nX-Long: " + b"a" * 5000 + b"\r\n\r\n"
    with relayed(CHUNKED) as it, it.accept() as program:
        for i in range(0, len(body), 50):
            it.client.sendall(body[i : i + 50])
        expected = CHUNKED[:-2] + CLOSE + b"\r\n" + body
        assert read_until(program, b"a\r\n\r\n") == expected
        program.sendall(ANSWER)
        assert read_to_end(it.client) == ANSWER_RELAYED
        assert it.outcome() is Outcome.ANSWERED


def test_what_is_no_chunk_is_the_programs_to_judge() -> None:
    """It gets what came, and then the end of the stream."""
    with relayed(CHUNKED + b"4\r\nbody\r\nzz\r\n") as it, it.accept() as program:
        expected = CHUNKED[:-2] + CLOSE + b"\r\n4\r\nbody\r\nzz\r\n"
        assert read_to_end(program) == expected
        program.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        assert read_to_end(it.client).startswith(b"HTTP/1.1 400 ")
        assert it.outcome() is Outcome.ANSWERED


def test_a_large_body_for_a_slow_program_waits_with_its_client() -> None:
    """No more than a buffer of it is here."""
    body = bytes(range(256)) * (MORE_THAN_BUFFERS // 256)
    forwarded = post(len(body), b"Connection: close")
    with relayed(post(len(body))) as it, it.accept() as program:
        writes = threading.Thread(target=lambda: it.client.sendall(body))
        writes.start()
        wait.until(lambda: it.most_buffered >= BUFFER_BYTES, "the program is behind")
        found = bytearray()
        while len(found) < len(forwarded) + len(body):
            found += program.recv(1 << 16)
        writes.join()
        assert found == forwarded + body
        program.sendall(ANSWER)
        assert read_to_end(it.client) == ANSWER_RELAYED
        assert it.outcome() is Outcome.ANSWERED
        assert it.most_buffered <= 2 * BUFFER_BYTES


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    """Its body goes on after that, then the answer comes."""
    head = post(4, b"Expect: 100-continue")
    with relayed(head) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        program.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert read_until(it.client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        it.client.sendall(b"body")
        assert read_until(program, b"body") == b"body"
        program.sendall(ANSWER)
        assert read_to_end(it.client) == ANSWER_RELAYED
        assert it.outcome() is Outcome.ANSWERED


@pytest.mark.parametrize("program_stays", [True, False], ids=["stays", "closes"])
@pytest.mark.parametrize("sent", [0, 10, MORE_THAN_BUFFERS])
def test_an_answer_before_the_body_was_read_reaches_its_client(
    sent: int, *, program_stays: bool
) -> None:
    """It is not destroyed by what the client still sends."""
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    with relayed(post(10_000_000)) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        writes = threading.Thread(target=lambda: it.client.sendall(b"a" * sent))
        writes.start()
        if sent > BUFFER_BYTES:
            wait.until(lambda: it.most_buffered >= BUFFER_BYTES, "buffers are full")
        program.sendall(answer)
        if not program_stays:
            program.close()
        assert read_to_end(it.client).startswith(b"HTTP/1.1 413 Too Large\r\n")
        writes.join()
        assert it.outcome() is Outcome.ANSWERED


def test_an_early_answer_to_a_slow_client_does_not_spin() -> None:
    """The program closed; what it has not read is not written any more."""
    head = b"HTTP/1.1 413 Too Large\r\nContent-Length: 900000000\r\n\r\n"
    with relayed(post(100_000_000)) as it, it.accept() as program:
        writes = threading.Thread(
            target=lambda: it.client.sendall(b"a" * MORE_THAN_BUFFERS)
        )
        writes.start()
        wait.until(lambda: it.most_buffered >= BUFFER_BYTES, "buffers are full")
        program.sendall(head)
        program.setblocking(False)

        def is_full() -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    program.send(b"a" * BUFFER_BYTES)
            return it.exchange._to_client.size >= BUFFER_BYTES

        wait.until(is_full, "both are full")
        reset(program)
        it.client.recv(1 << 20)
        rounds = it.rounds
        threading.Event().wait(0.2)
        assert it.rounds - rounds < 1000
        read_to_end(it.client)
        writes.join()
        it.outcome()


def test_a_client_that_ends_its_half_early_ends_the_programs_too() -> None:
    """Also where bytes of it were still on their way."""
    with relayed(post(10) + b"abc") as it, it.accept() as program:
        it.client.shutdown(socket.SHUT_WR)
        assert read_to_end(program) == post(10, b"Connection: close") + b"abc"
        program.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        assert read_to_end(it.client).startswith(b"HTTP/1.1 400 ")
        assert it.outcome() is Outcome.ANSWERED


def test_the_end_of_a_long_half_is_passed_on_once_all_of_it_was() -> None:
    """A slow program has to read first."""
    body = b"a" * MORE_THAN_BUFFERS
    with relayed(post(len(body) + 1)) as it, it.accept() as program:

        def write() -> None:
            it.client.sendall(body)
            it.client.shutdown(socket.SHUT_WR)

        writes = threading.Thread(target=write)
        writes.start()
        wait.until(lambda: it.most_buffered >= BUFFER_BYTES, "the program is behind")
        assert read_to_end(program).endswith(b"\r\n\r\n" + body)
        writes.join()
        program.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        assert read_to_end(it.client).startswith(b"HTTP/1.1 400 ")
        assert it.outcome() is Outcome.ANSWERED


def test_a_client_that_ended_its_half_after_its_request_gets_its_answer() -> None:
    """It may read still."""
    with relayed(GET) as it, it.accept() as program:
        it.client.shutdown(socket.SHUT_WR)
        read_until(program, b"\r\n\r\n")
        program.sendall(ANSWER)
        assert read_to_end(it.client) == ANSWER_RELAYED
        assert it.outcome() is Outcome.ANSWERED


# --- upgrades -----------------------------------------------------------------------------


def test_an_upgrade_becomes_a_tunnel() -> None:
    """Both heads stay as they are, and bytes go both ways until a side closes."""
    with relayed(UPGRADE) as it, it.accept() as program:
        assert read_until(program, b"\r\n\r\n") == UPGRADE
        it.client.sendall(b"early")
        program.sendall(SWITCH + b"hello")
        assert read_until(it.client, b"hello") == SWITCH + b"hello"
        assert read_until(program, b"early") == b"early"
        for number in range(50):
            it.client.sendall(b"\x81%03d" % number)
            assert read_until(program, b"%03d" % number) == b"\x81%03d" % number
            program.sendall(b"\x82%03d" % number)
            assert read_until(it.client, b"%03d" % number) == b"\x82%03d" % number
        program.close()
        assert read_to_end(it.client) == b""
        assert it.outcome() is Outcome.ANSWERED


def test_the_end_of_a_tunnels_client_reaches_the_program() -> None:
    """What it sent before comes first, and what the program still says is passed on."""
    with relayed(UPGRADE) as it, it.accept() as program:
        read_until(program, b"\r\n\r\n")
        program.sendall(SWITCH)
        read_until(it.client, b"\r\n\r\n")
        it.client.sendall(b"bye" * 100_000)
        it.client.shutdown(socket.SHUT_WR)
        assert read_to_end(program) == b"bye" * 100_000
        program.sendall(b"bye")
        program.close()
        assert read_to_end(it.client) == b"bye"
        assert it.outcome() is Outcome.ANSWERED


def test_an_upgrade_that_is_refused_is_a_plain_exchange() -> None:
    """What the client sent behind it is not forwarded."""
    with relayed(UPGRADE) as it, it.accept() as program:
        assert read_until(program, b"\r\n\r\n") == UPGRADE
        it.client.sendall(GET)
        program.sendall(ANSWER)
        assert read_to_end(it.client) == ANSWER_RELAYED
        assert read_to_end(program) == b""
        assert it.outcome() is Outcome.ANSWERED
