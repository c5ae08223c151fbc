"""The ASGI middleware, called by a server of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gapless_drain import Drain, Draining, Mode

Message = dict[str, Any]
HTTP = {"type": "http", "method": "POST", "path": "/", "http_version": "1.1"}
SOCKET = {"type": "websocket", "path": "/ws", "http_version": "1.1"}
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"done"}


class Wire:
    """The messages of a server, and what the app sent."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages) or [{"type": "http.request", "body": b"x"}]
        self.sent: list[Message] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        """Return the next message; then wait until the client is gone."""
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take what the app sends; a close ends the connection."""
        self.sent.append(message)
        ended = message["type"] in ("websocket.close", "http.response.body")
        if ended and not message.get("more_body"):
            self.gone.set()

    def headers(self) -> dict[bytes, bytes]:
        """Return the headers of the answer."""
        return dict(self.sent[0]["headers"])


def make(**settings: Any) -> Drain:
    """Return a drain without a supervisor and without signals."""
    return Drain(environ={}, on_signal=None, **settings)


async def plain(scope: Message, receive: Any, send: Any) -> None:
    """Answer after the body was read."""
    assert (await receive())["type"] == "http.request"
    await send(START)
    await send(BODY)


async def turns() -> None:
    """Let the loop run until another thread has answered."""
    await asyncio.to_thread(int)


def run(body: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function."""
    asyncio.run(asyncio.wait_for(body(), 20))


def test_a_request_is_under_way_until_the_app_returns() -> None:
    """Work that a framework does in the background after the answer counts as well."""
    drain = make()
    counted = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await plain(scope, receive, send)
        counted.append(drain.counts()["requests"])

    async def body() -> None:
        await drain.asgi(app)(HTTP, (wire := Wire()).receive, wire.send)
        assert wire.sent == [START, BODY]

    run(body)
    assert counted == [1]
    assert drain.counts()["requests"] == 0


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, OSError])
def test_failing_requests_are_finished(error: type[BaseException]) -> None:
    """The error of the app reaches the server, and the count is right."""
    drain = make()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        raise error

    async def body() -> None:
        with pytest.raises(error):
            await drain.asgi(app)(HTTP, (wire := Wire()).receive, wire.send)

    run(body)
    assert drain.counts()["requests"] == 0


def test_a_refusal_reads_the_body_first_and_says_who_refuses() -> None:
    """The app is not called."""
    drain = make(retry_after_s=7)
    drain.core.take_order("drain recycle")
    pieces: list[Message] = [
        {"type": "http.request", "body": b"x" * 1000, "more_body": True},
        {"type": "http.request", "body": b"x" * 1000},
    ]

    async def body() -> None:
        wire = Wire(*pieces)
        await drain.asgi(None)(HTTP, wire.receive, wire.send)
        assert wire.messages == []
        assert wire.sent[0]["status"] == 503
        headers = wire.headers()
        assert headers[b"retry-after"] == b"7"
        assert headers[b"connection"] == b"close"
        assert headers[b"gapless-drain"] == b"recycle"
        assert len(wire.sent[1]["body"]) == int(headers[b"content-length"])

    run(body)
    counts = drain.counts()
    assert (counts["requests"], counts["refused"]) == (0, 1)


def test_a_refusal_reads_no_more_than_the_limit() -> None:
    """There is one for bytes, and one for time."""
    drain = make(discard_bytes=1500, discard_s=0.05)
    drain.core.take_order("drain recycle")
    piece = {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def body() -> None:
        endless = Wire(*[piece] * 10)
        await drain.asgi(None)(HTTP, endless.receive, endless.send)
        assert len(endless.messages) == 8
        stuck = Wire(piece)
        await drain.asgi(None)(HTTP, stuck.receive, stuck.send)
        assert stuck.sent[0]["status"] == 503

    run(body)


def test_a_refused_head_has_no_body_and_http2_no_connection() -> None:
    """RFC 9110, section 9.3.2; RFC 9113, section 8.2.2."""
    drain = make(status=529)
    drain.core.take_order("drain recycle")

    async def body() -> None:
        wire = Wire()
        scope = {**HTTP, "method": "HEAD", "http_version": "2"}
        await drain.asgi(None)(scope, wire.receive, wire.send)
        assert wire.sent[0]["status"] == 529
        assert b"connection" not in wire.headers()
        assert wire.sent[1]["body"] == b""

    run(body)


@pytest.mark.parametrize("order", ["drain handoff", "drain recycle"])
def test_answers_that_begin_in_a_drain_close_the_connection(order: str) -> None:
    """The request was admitted before, its head is sent after."""
    drain = make()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        drain.core.take_order(order)
        own = [(b"Connection", b"keep-alive"), (b"x", b"y")]
        await send({**START, "headers": own})
        await send(BODY)

    async def body() -> None:
        wire = Wire()
        await drain.asgi(app)(HTTP, wire.receive, wire.send)
        assert wire.sent[0]["headers"] == [(b"x", b"y"), (b"connection", b"close")]

    run(body)


@pytest.mark.parametrize(
    ("order", "answer"),
    [("drain leaving", 404), ("drain recycle", 404), ("drain handoff", 200)],
)
def test_the_health_path_says_no_when_the_process_leaves(
    order: str, answer: int
) -> None:
    """It does so first; in a handoff the new generation answers for the host."""
    drain = make(health_path="/health", health_status=404)
    drain.core.take_order(order)

    async def body() -> None:
        wire = Wire()
        scope = {**HTTP, "method": "GET", "path": "/health"}
        await drain.asgi(plain)(scope, wire.receive, wire.send)
        assert wire.sent[0]["status"] == answer

    run(body)


def test_leaving_serves_everything_else() -> None:
    """It does so until the balancer has noticed."""
    drain = make(health_path="/health")
    drain.core.take_order("drain leaving")

    async def body() -> None:
        wire = Wire()
        await drain.asgi(plain)(HTTP, wire.receive, wire.send)
        assert wire.sent == [START, BODY]

    run(body)


def begin(drain: Drain, order: str) -> None:
    """Give an order as the connection does."""
    drain._take_order(order)


@pytest.mark.parametrize("ends", ["by disconnect", "at the next send", "by cancelling"])
def test_an_event_stream_ends_in_good_order(ends: str) -> None:
    """The client gets a complete answer, whatever the app does."""
    drain = make()
    begun = asyncio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        kind = [(b"Content-Type", b"text/event-stream")]
        await send({**START, "headers": kind})
        begun.set()
        if ends == "by disconnect":
            assert (await receive())["type"] == "http.disconnect"
            return
        if ends == "by cancelling":
            await asyncio.Event().wait()
        while True:
            await send({**BODY, "more_body": True})
            await turns()

    async def body() -> None:
        wire = Wire()
        task = asyncio.create_task(drain.asgi(app)(HTTP, wire.receive, wire.send))
        await begun.wait()
        begin(drain, "drain handoff")
        await task
        assert wire.sent[-1] == {"type": "http.response.body", "body": b""}

    run(body)
    assert drain.counts()["requests"] == 0


def test_an_app_that_fails_by_itself_in_a_stream_raises() -> None:
    """Only an error that the drain's end of the stream has caused is suppressed."""
    drain = make()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-type", b"text/event-stream")]})
        raise ValueError("of its own")

    async def body() -> None:
        with pytest.raises(ValueError, match="of its own"):
            await drain.asgi(app)(HTTP, (wire := Wire()).receive, wire.send)

    run(body)


def test_a_websocket_is_closed_with_1012() -> None:
    """What the app sends after that is dropped."""
    drain = make()
    received = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        received.append(await receive())
        await send({"type": "websocket.send", "text": "too late"})

    async def body() -> None:
        wire = Wire({"type": "websocket.connect"})
        task = asyncio.create_task(drain.asgi(app)(SOCKET, wire.receive, wire.send))
        while not wire.sent:
            await turns()
        assert drain.counts()["requests"] == 1
        begin(drain, "drain recycle")
        await task
        assert [each["type"] for each in wire.sent] == [
            "websocket.accept",
            "websocket.close",
        ]
        assert wire.sent[1]["code"] == 1012

    run(body)
    assert drain.counts()["requests"] == 0


def test_a_new_websocket_is_refused() -> None:
    """With an HTTP answer if the server can send one; otherwise it is closed."""
    drain = make()
    drain.core.take_order("drain recycle")

    async def body() -> None:
        wire = Wire({"type": "websocket.connect"})
        await drain.asgi(None)(SOCKET, wire.receive, wire.send)
        assert wire.sent == [{"type": "websocket.close", "code": 1012}]
        wire = Wire({"type": "websocket.connect"})
        scope = {**SOCKET, "extensions": {"websocket.http.response": {}}}
        await drain.asgi(None)(scope, wire.receive, wire.send)
        assert wire.sent[0]["type"] == "websocket.http.response.start"
        assert wire.sent[0]["status"] == 503

    run(body)


def test_procedures_begin_within_a_request_also_in_threads_and_tasks() -> None:
    """They have the context of the request; when it is over, they are refused."""
    drain = make()
    late: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def begun_late() -> None:
        await over.wait()
        async with drain.procedure("too late"):
            pass

    def in_a_thread() -> str:
        with drain.procedure("in a thread"):
            return str(drain.counts()["procedures"])

    async def app(scope: Message, receive: Any, send: Any) -> None:
        drain.core.take_order("drain recycle")
        assert await asyncio.to_thread(in_a_thread) == "1"
        async with drain.procedure("here"):
            assert drain.counts()["running"][-1]["name"] == "here"
        late.append(asyncio.create_task(begun_late()))
        await plain(scope, receive, send)

    async def body() -> None:
        await drain.asgi(app)(HTTP, (wire := Wire()).receive, wire.send)
        over.set()
        with pytest.raises(Draining):
            await late[0]

    run(body)
    counts = drain.counts()
    assert (counts["procedures"], counts["finished"]["procedures"]) == (0, 2)


def test_lifespan_is_the_apps_own() -> None:
    """It is not counted as a request."""
    drain = make()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        assert drain.counts()["requests"] == 0
        await send({"type": "lifespan.startup.complete"})

    async def body() -> None:
        wire = Wire()
        await drain.asgi(app)({"type": "lifespan"}, wire.receive, wire.send)
        assert len(wire.sent) == 1

    run(body)


def test_long_polls_can_wait_for_the_drain() -> None:
    """They can wait in a task, in a thread, and by a callback."""
    drain = Drain(environ={}, on_signal=None)
    called: list[str] = []

    def fail() -> None:
        raise RuntimeError

    drain.on_drain(lambda: called.append("called"))
    drain.on_drain(fail)

    async def body() -> None:
        task = asyncio.create_task(drain.begun())
        thread = asyncio.create_task(asyncio.to_thread(drain.wait, 10))
        await turns()
        begin(drain, "drain handoff")
        await task
        assert await thread
        await drain.begun()

    run(body)
    assert called == ["called"]
    assert drain.wait(0)
    begin(drain, "undrain")
    assert not drain.wait(0)
    assert drain.mode is Mode.SERVING
