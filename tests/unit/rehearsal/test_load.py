"""The load of a rehearsal against a program that does each thing wrong on purpose."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gapless.rehearsal.load import model
from gapless.rehearsal.load.client import Client, Place
from gapless.rehearsal.load.load import Load
from gapless.rehearsal.load.model import Request, Traffic
from rig.wait import free_port, until

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

EARLY = GOOD.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def reset(sock: socket.socket) -> None:
    """Close a connection so that its other side gets ECONNRESET (socket(7), SO_LINGER)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def serve(path: str, sock: socket.socket) -> None:
    """Answer a request as its path says."""
    if path == "/reset":
        reset(sock)
    elif path == "/cut":
        sock.sendall(GOOD[:-1])
    elif path == "/no-http":
        sock.sendall(b"hello\r\n\r\n")
    elif path == "/silent":
        sock.recv(1)  # until the client gives up
    elif path != "/close":
        sock.sendall(GOOD)
        return
    raise ConnectionAbortedError


def talk(sock: socket.socket) -> None:
    """Answer what comes on a connection."""
    with sock, contextlib.suppress(OSError), sock.makefile("rb") as lines:
        while first := lines.readline():
            length = 0
            while (line := lines.readline().strip().lower()) != b"":
                if b"/early" in first:
                    sock.sendall(EARLY if b"close" in first else GOOD)
                    return  # with the rest of the request unread: it is reset
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            lines.read(length)
            serve(first.split()[1].decode(), sock)


@contextmanager
def program() -> Iterator[int]:
    """Serve in threads; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = []

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=talk, args=(sock,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for each in threads:
                each.join()


def place(port: int) -> Place:
    """Return a place of this machine."""
    return Place(family=socket.AF_INET, address=("127.0.0.1", port))


def one(port: int, path: str, *, kind: str = model.NEW) -> Request:
    """Send one request; return what became of it."""
    traffic = Traffic(kind=kind, clients=1, paths=(path,), every_s=9.0, timeout_s=0.3)
    load = Load(place(port), [traffic])
    load.start()
    until(lambda: load.requests or load.trouble, "an end of the request")
    load.stop()
    assert load.trouble is None
    return load.requests[0]


@pytest.mark.parametrize(
    ("path", "fate"),
    [
        ("/", model.ANSWERED),
        ("/reset", model.RESET),
        ("/close", model.CLOSED),
        ("/cut", model.TRUNCATED),
        ("/no-http", model.NO_HTTP),
        ("/silent", model.TIMED_OUT),
    ],
)
@pytest.mark.parametrize("kind", [model.NEW, model.KEPT])
def test_each_way_to_lose_a_request_is_named(path: str, fate: str, kind: str) -> None:
    """None of them is sent again, and only a whole answer counts."""
    with program() as port:
        assert one(port, path, kind=kind).fate == fate


def test_where_nobody_listens_a_request_is_refused() -> None:
    """As after a stop, and before the start."""
    assert one(free_port(), "/").fate == model.REFUSED


def test_slow_bodies_and_kept_connections_are_answered() -> None:
    """The three kinds side by side; kept connections are used again."""
    with program() as port:
        load = Load(place(port), model.mixed(("/a", "/b"), "/post", 200.0))
        load.start()
        until(
            lambda: (
                {each.kind for each in load.requests}
                == {model.KEPT, model.NEW, model.SLOW}
            ),
            "an answer of each kind",
        )
        load.stop()
    assert load.trouble is None
    assert {each.fate for each in load.requests} == {model.ANSWERED}
    assert {each.path for each in load.requests} == {"/a", "/b", "/post"}
    kept = [each.is_reused for each in load.requests if each.kind == model.KEPT]
    assert True in kept
    slow = [each for each in load.requests if each.kind == model.SLOW]
    assert min(each.took_s for each in slow) >= 0.5


def test_a_whole_answer_before_a_reset_is_an_answer() -> None:
    """The client learns of both at once."""
    ended: list[Request] = []
    with (
        selectors.DefaultSelector() as selector,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        slow = model.mixed(("/",), "/post", 200.0)[-1]
        where = place(listener.getsockname()[1])
        client = Client(where, slow, selector, first_at=0.0, ended=ended.append)
        client.begin(0, 0.0)
        sock, _ = listener.accept()
        client.go_on()
        sock.sendall(GOOD)
        reset(sock)
        sock.close()
        until(lambda: answered(client), "the answer")
        client.hang_up()
    assert [each.fate for each in ended] == [model.ANSWERED]


@pytest.mark.parametrize("path", ["/early-close", "/early"])
def test_an_answer_before_the_end_of_the_body_is_an_answer(path: str) -> None:
    """The program closes then, and the rest of the body is answered by a reset."""
    with program() as port:
        slow = model.mixed(("/",), path, 200.0)[-1]
        load = Load(place(port), [slow])
        load.start()
        until(lambda: load.requests, "an answer")
        load.stop()
    assert {each.fate for each in load.requests} == {model.ANSWERED}


def test_a_load_is_abandoned_at_once() -> None:
    """As after an interrupt: nobody wants the answers of what was sent."""
    with program() as port:
        traffic = Traffic(
            kind=model.NEW, clients=1, paths=("/silent",), every_s=9.0, timeout_s=90.0
        )
        load = Load(place(port), [traffic])
        load.start()
        load.abandon()
    assert load.requests == []


def answered(client: Client) -> bool:
    """Let a client go on; return whether its request has ended."""
    if client.request is not None:
        client.go_on()
    return client.request is None


def test_an_idle_connection_that_was_closed_loses_nothing() -> None:
    """A client that sees it opens another one, as browsers do."""
    ended: list[Request] = []
    with (
        selectors.DefaultSelector() as selector,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        traffic = Traffic(kind=model.KEPT, clients=1, paths=("/",), every_s=0.0)
        where = place(listener.getsockname()[1])
        client = Client(where, traffic, selector, first_at=0.0, ended=ended.append)
        for number in range(2):
            client.begin(number, 0.0)
            sock, _ = listener.accept()
            client.go_on()
            sock.recv(1000)
            sock.sendall(GOOD)
            until(lambda: answered(client), "the answer")
            sock.close()
        client.hang_up()
    assert [(each.fate, each.is_reused) for each in ended] == [
        (model.ANSWERED, False)
    ] * 2
