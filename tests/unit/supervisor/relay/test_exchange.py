"""One exchange with a real client and a real program: whole answers, or a close.

Everything is on one address of loopback, as a connection that is taken and the generation
that serves its next request are.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from gapless.base import clock, wakeup
from gapless.supervisor.relay import exchange as exchanges
from gapless.supervisor.relay import heads, sockets
from gapless.supervisor.relay.exchange import BUFFER_BYTES, Exchange, Outcome
from rig import wait

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
GET_FORWARDED = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
MORE_THAN_BUFFERS = 7_000_000
"""What neither the kernel nor the relay holds for a program that does not read."""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWER_RELAYED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def post(body_bytes: int, *lines: bytes) -> bytes:
    """Return the head of a request with a body of a length."""
    all_lines = (b"Content-Length: %d" % body_bytes, *lines)
    head = b"".join(line + b"\r\n" for line in all_lines)
    return b"POST / HTTP/1.1\r\n" + HOST + head + b"\r\n"


CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


def reset(sock: socket.socket) -> None:
    """Close a connection so that its peer gets an error."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_to_end(sock: socket.socket) -> bytes:
    """Return everything that comes until the end, which may be an error."""
    found = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(1 << 16):
            found += piece
    return bytes(found)


def read_until(sock: socket.socket, ending: bytes) -> bytes:
    """Return what comes, up to an ending."""
    found = bytearray()
    while not found.endswith(ending):
        piece = sock.recv(1 << 16)
        assert piece, found[:1000]
        found += piece
    return bytes(found)


Before = Callable[[socket.socket], object]


class Relayed:
    """A client whose request is carried by an exchange in a thread of its own."""

    def __init__(self, request: bytes, listens: bool, before: Before) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        self.listener.settimeout(10)
        self.client = socket.create_connection(self.listener.getsockname())
        self.client.settimeout(10)
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.taken = self.listener.accept()[0]
        if not listens:
            self.listener.close()
        self._selector = selectors.DefaultSelector()
        self._failures: list[Exception] = []
        self._stop = threading.Event()
        self.most_buffered = 0
        self.rounds = 0
        self.client.sendall(request)
        wait.until(lambda: sockets.unread(self.taken) >= len(request), "it came")
        waiting = self.taken.recv(heads.LARGEST_HEAD_BYTES, socket.MSG_PEEK)
        head = heads.judge(waiting)[1]
        assert head is not None
        self.exchange = Exchange(self._selector, self.taken, head)
        before(self.taken)
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        it = self.exchange
        while it.outcome is None and not self._stop.is_set():
            wakeup.call_ready(self._selector, 0.001, self._failures.append)
            it.tick(clock.monotonic())
            buffered = max(it._to_program.size, it._to_client.size)
            self.most_buffered = max(self.most_buffered, buffered)
            self.rounds += 1
        with contextlib.suppress(OSError):
            self.taken.shutdown(socket.SHUT_RDWR)
        assert self.taken not in self._selector.get_map()
        self.taken.close()

    def accept(self) -> socket.socket:
        """Return the program's end of the exchange."""
        sock = self.listener.accept()[0]
        sock.settimeout(10)
        return sock

    def outcome(self) -> Outcome:
        """Return how it ended, once the client has closed too."""
        self.client.close()
        self._thread.join(10)
        outcome = self.exchange.outcome
        assert outcome is not None
        return outcome

    def close(self) -> None:
        """End it, and check that it left nothing behind, and asked the program once."""
        self._stop.set()
        self._thread.join(10)
        self.client.close()
        self.taken.close()
        left = len(self._selector.get_map())
        self._selector.close()
        if self.exchange.outcome is not None:
            assert self.exchange._program.fileno() == -1
            assert left == 0
        self.exchange._program.close()
        if self.listener.fileno() != -1:
            self.listener.settimeout(0)
            with pytest.raises(BlockingIOError):
                self.listener.accept()
            self.listener.close()
        assert self._failures == []


@contextlib.contextmanager
def relayed(
    request: bytes, *, listens: bool = True, before: Before = lambda _: None
) -> Iterator[Relayed]:
    """Return an exchange that is under way; *before* it began to read, call that."""
    it = Relayed(request, listens, before)
    try:
        yield it
    finally:
        it.close()


# --- answers ------------------------------------------------------------------------------

CLOSE = b"Connection: close\r\n"
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

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


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
