"""The WSGI middleware, called by a server of a few lines."""

from __future__ import annotations

import gc
import io
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from gapless_drain import Drain, Draining
from gapless_drain.activity import current

OK = "200 OK"


@pytest.fixture(autouse=True)
def thread_of_a_server() -> Iterator[None]:
    """Leave no request current; in a server's thread the next request replaces it."""
    token = current.set(None)
    yield
    current.reset(token)


class Server:
    """Calls an app as servers do, and keeps what the app sends."""

    def __init__(self, **environ: Any) -> None:
        self.environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "CONTENT_LENGTH": "4",
            "wsgi.input": io.BytesIO(b"body"),
            **environ,
        }
        self.status = ""
        self.headers: dict[str, str] = {}

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """The `start_response` of PEP 3333."""
        self.status, self.headers = status, dict(headers)
        return io.BytesIO().write

    def call(self, app: Any) -> Iterable[bytes]:
        """Call the app; return what it returns."""
        found: Iterable[bytes] = app(self.environ, self.start)
        return found

    def serve(self, app: Any) -> bytes:
        """Return the whole body, and close the answer as PEP 3333 demands."""
        answer = self.call(app)
        try:
            return b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()


def make(**settings: Any) -> Drain:
    """Return a drain without a supervisor and without signals."""
    return Drain(environ={}, on_signal=None, **settings)


def plain(environ: Any, start: Any) -> list[bytes]:
    """Answer in one piece."""
    start(OK, [("X", "y")])
    return [b"done"]


def test_a_request_is_under_way_until_its_answer_is_closed() -> None:
    """When the app has returned, the server still sends."""
    drain = make()
    server = Server()
    answer: Any = server.call(drain.wsgi(plain))
    assert len(answer) == 1
    assert list(answer) == [b"done"]
    assert drain.counts()["requests"] == 1
    answer.close()
    answer.close()
    assert drain.counts()["requests"] == 0


def test_an_answer_that_nobody_closes_is_finished_when_it_is_forgotten() -> None:
    """Some servers forget to close."""
    drain = make()
    Server().call(drain.wsgi(plain))
    gc.collect()
    assert drain.counts()["requests"] == 0


@pytest.mark.parametrize("where", ["the call", "the first piece", "close"])
def test_failing_requests_are_finished(where: str) -> None:
    """The error of the app reaches the server, and the count is right."""
    drain = make()

    class Answer:
        def __iter__(self) -> Any:
            if where == "the first piece":
                raise ValueError(where)
            return iter([b"x"])

        def close(self) -> None:
            if where == "close":
                raise ValueError(where)

    def app(environ: Any, start: Any) -> Any:
        start(OK, [])
        if where == "the call":
            raise ValueError(where)
        return Answer()

    with pytest.raises(ValueError, match=where):
        Server().serve(drain.wsgi(app))
    assert drain.counts()["requests"] == 0


def test_generators_are_streamed_piece_by_piece() -> None:
    """Nothing is read ahead, and start_response may come late."""
    drain = make()

    def app(environ: Any, start: Any) -> Any:
        start(OK, [])
        yield b"a"
        yield b"b"

    answer = iter(Server().call(drain.wsgi(app)))
    assert next(answer) == b"a"
    assert drain.counts()["requests"] == 1
    assert list(answer) == [b"b"]


def test_a_file_stays_one_that_can_be_sent_by_the_kernel() -> None:
    """The server gets its own wrapper back, whose close ends the request."""
    drain = make()
    closed: list[bool] = []

    class File(io.BytesIO):
        def close(self) -> None:
            closed.append(True)
            super().close()

    def app(environ: Any, start: Any) -> Any:
        start(OK, [])
        return environ["wsgi.file_wrapper"](File(b"whole file"))

    server = Server(**{"wsgi.file_wrapper": FileWrapper})
    answer: Any = server.call(drain.wsgi(app))
    assert isinstance(answer, FileWrapper)
    assert b"".join(answer) == b"whole file"
    assert drain.counts()["requests"] == 1
    answer.close()
    assert closed
    assert drain.counts()["requests"] == 0


def test_a_refusal_reads_the_body_first() -> None:
    """It has the headers that a balancer needs."""
    drain = make()
    drain.core.take_order("drain recycle")
    server = Server()
    assert server.serve(drain.wsgi(None)).startswith(b"this process")
    assert server.environ["wsgi.input"].read() == b""
    assert server.status == "503 Service Unavailable"
    assert server.headers["Gapless-Drain"] == "recycle"
    assert server.headers["Retry-After"] == "1"
    assert server.headers["Connection"] == "close"
    counts = drain.counts()
    assert (counts["requests"], counts["refused"]) == (0, 1)


@pytest.mark.parametrize(
    ("length", "terminated", "left"), [("4", False, 3), ("", True, 0), ("x", False, 7)]
)
def test_a_refusal_reads_what_is_the_body_and_no_more(
    length: str, terminated: bool, left: int
) -> None:
    """A chunked body has no length; the next request may follow one that has."""
    drain = make()
    drain.core.take_order("drain recycle")
    server = Server(
        **{
            "CONTENT_LENGTH": length,
            "wsgi.input": io.BytesIO(b"bodyGET"),
            "wsgi.input_terminated": terminated,
        }
    )
    server.serve(drain.wsgi(None))
    assert len(server.environ["wsgi.input"].read()) == left


def test_a_refusal_whose_client_goes_away_is_finished() -> None:
    """Also while the error, and so the frame of the request, is kept."""
    drain = make()
    drain.core.take_order("drain recycle")

    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError(size)

    with pytest.raises(OSError, match="4") as kept:
        Server(**{"wsgi.input": Broken()}).serve(drain.wsgi(None))
    assert kept.tb is not None
    counts = drain.counts()
    assert (counts["requests"], counts["refused"]) == (0, 1)


def test_in_a_handoff_answers_close_the_connection() -> None:
    """Also if the drain began after the request."""
    drain = make()

    def app(environ: Any, start: Any) -> list[bytes]:
        drain.core.take_order("drain handoff")
        return plain(environ, start)

    server = Server()
    server.serve(drain.wsgi(app))
    assert server.headers == {"X": "y", "Connection": "close"}


def test_an_event_stream_ends_with_the_next_event() -> None:
    """A thread that waits for an event cannot be interrupted."""
    drain = make()

    def app(environ: Any, start: Any) -> Any:
        start(OK, [("Content-Type", "text/event-stream")])
        while True:
            yield b"data: x\n\n"

    answer = iter(Server().call(drain.wsgi(app)))
    next(answer)
    drain.core.take_order("drain handoff")
    assert list(answer) == []


def test_procedures_know_their_request() -> None:
    """The next request of the thread is another one."""
    drain = make()

    def app(environ: Any, start: Any) -> list[bytes]:
        drain.core.take_order("drain recycle")
        with drain.procedure("within"):
            return plain(environ, start)

    Server().serve(drain.wsgi(app))
    with pytest.raises(Draining, match="outside"), drain.procedure("outside"):
        pass
    assert drain.counts()["finished"]["procedures"] == 1


def test_decorators_count_every_kind_of_function() -> None:
    """A function counts while it runs, and no longer."""
    drain = make()

    @drain.procedure
    def one() -> int:
        return int(drain.counts()["procedures"])

    @drain.procedure("many")
    def many() -> Any:
        yield drain.counts()["running"][0]["name"]

    assert one() == 1
    assert one.__name__ == "one"
    generator = many()
    assert drain.counts()["procedures"] == 0
    assert next(generator) == "many"
    assert drain.counts()["procedures"] == 1
    generator.close()
    assert drain.counts()["procedures"] == 0


def test_threads_count_exactly() -> None:
    """Many run at once, and the interpreter switches as often as it can."""
    drain = make()
    app = drain.wsgi(plain)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        def work() -> None:
            for _ in range(300):
                Server().serve(app)

        drain.core.take_order("drain handoff")
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert 0 <= drain.counts()["requests"] <= 8
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    counts = drain.counts()
    assert (counts["requests"], counts["finished"]["requests"]) == (0, 2400)
