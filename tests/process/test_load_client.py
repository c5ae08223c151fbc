"""The strict client recognises and counts every kind of wrong answer."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rig.load.engine import Engine, Traffic
from rig.load.traffic import NEW
from rig.wait import free_port

COUNT = 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nrelease 1\n"


def reset(client: socket.socket) -> None:
    """Close with RST instead of FIN."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def answer(
    text: bytes, *, then: Callable[[socket.socket], None]
) -> Callable[..., None]:
    """Return a function that reads a request, sends *text*, then calls *then*."""

    def serve(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                break
            head += piece
        client.sendall(text)
        then(client)

    return serve


def close(client: socket.socket) -> None:
    """Close with FIN."""
    client.close()


def keep(client: socket.socket) -> None:
    """Keep the connection open without an answer."""
    client.recv(65536)
    client.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MISBEHAVIOURS: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "well": (answer(OK, then=close), "answered"),
    "chunked": (answer(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", then=close), "answered"),
    "reset at once": (reset, "reset"),
    "reset in the answer": (answer(OK[:-5], then=reset), "truncated"),
    "closed without an answer": (answer(b"", then=close), "closed"),
    "cut short": (answer(OK[:-5], then=close), "truncated"),
    "chunks cut short": (answer(CHUNKED + b"9\r\nabc", then=close), "truncated"),
    "head cut short": (answer(OK[:20], then=close), "truncated"),
    "more than it said": (answer(OK + b"extra", then=close), "wrong"),
    "no HTTP": (answer(b"hello\r\n\r\n", then=close), "wrong"),
    "error 500": (answer(OK.replace(b"200", b"500"), then=close), "status"),
    "drained 503": (answer(OK.replace(b"200", b"503"), then=close), "status"),
    "never answers": (answer(b"", then=keep), "time-out"),
}


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve connections one after the other; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                serve(client)
            except OSError:
                client.close()

    thread = threading.Thread(target=loop)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield port
    finally:
        over.set()
        with socket.socket() as last:
            last.connect_ex(("127.0.0.1", port))
        listener.close()
        thread.join(10)


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_each_misbehaviour_is_recognised(name: str) -> None:
    """Every request is in the report once, with its fate."""
    serve, fate = MISBEHAVIOURS[name]
    count = 2 if fate == "time-out" else COUNT
    traffic = Traffic(kind="x", timeout_s=0.3 if fate == "time-out" else 10)
    with server(serve) as port:
        engine = Engine("127.0.0.1", port, (traffic,), seconds=30, requests=count)
        engine.run()
    report = engine.report()
    # A reset may overtake the bytes before it; then the client saw nothing of the answer.
    fates = {fate, "reset"} if name == "reset in the answer" else {fate}
    assert report.fates.keys() <= fates, str(report)
    assert sum(report.fates.values()) == count
    assert report.lost == (0 if fate == "answered" else count)
    numbers = [request.number for request in engine.ledger.requests]
    assert numbers == list(range(1, count + 1))


def test_a_closed_port_is_refused() -> None:
    """A connection to a port on which no program listens counts as refused."""
    engine = Engine("127.0.0.1", free_port(), (NEW,), seconds=30, requests=COUNT)
    engine.run()
    assert engine.report().fates == {"refused": COUNT}


def test_a_wrong_echo_is_no_answer() -> None:
    """The body of the answer must be the one that was sent."""
    post = Traffic(kind="post", method="POST", body_bytes=100, echoes=True)
    with server(answer(OK, then=close)) as port:
        engine = Engine("127.0.0.1", port, (post,), seconds=30, requests=5)
        engine.run()
    assert engine.report().fates == {"wrong": 5}


def test_a_connection_that_is_closed_while_idle_is_no_loss() -> None:
    """The client checks a connection before it writes; a request lost later is a loss."""
    idle = Traffic(kind="keep-alive", keep_alive=True, pause_s=0.05)
    polite = OK.replace(b"Connection: close\r\n", b"")
    with server(answer(polite, then=close)) as port:
        engine = Engine("127.0.0.1", port, (idle,), seconds=30, requests=5)
        engine.run()
    report = engine.report()
    assert report.fates == {"answered": 5}
    row = report.kinds["keep-alive"]
    assert (row["connections"], row["closed_idle"]) == (5, 4)


def test_the_answer_to_another_request_is_no_answer() -> None:
    """Where the app names the number of the request, it must be the right one."""
    numbered = Traffic(kind="get", path="/n?id={number}", answer_names_number=True)
    third = OK.replace(b": 10", b": 19").replace(b"1\n", b"1 number 3\n")
    with server(answer(third, then=close)) as port:
        engine = Engine("127.0.0.1", port, (numbered,), seconds=30, requests=5)
        engine.run()
    assert engine.report().fates == {"wrong": 4, "answered": 1}


def test_an_answer_before_the_end_of_the_upload_does_not_end_it() -> None:
    """The next request on the connection comes after the whole body."""
    size, count = 3_000_000, 4
    large = Traffic(kind="x", method="POST", body_bytes=size, keep_alive=True)
    polite = OK.replace(b"Connection: close\r\n", b"")
    began = []

    def serve(client: socket.socket) -> None:
        with client, client.makefile("rb") as received:
            while first := received.readline():
                began.append(first.split()[0])
                while received.readline().strip():
                    pass
                client.sendall(polite)
                received.read(size)

    with server(serve) as port:
        engine = Engine("127.0.0.1", port, (large,), seconds=30, requests=count)
        engine.run()
    report = engine.report()
    assert report.fates == {"answered": count}
    assert report.kinds["x"]["connections"] == 1
    assert began == [b"POST"] * count


def test_load_goes_to_this_machine_only() -> None:
    """Another address is refused before any packet is sent."""
    with pytest.raises(ValueError, match="this machine only"):
        Engine("192.0.2.1", 80, (NEW,), seconds=1)
