"""What a drain may end of a websocket or an event stream, and what it must not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gapless_drain import Drain
from gapless_drain.web import stream

Message = dict[str, Any]
HTTP = {"type": "http", "method": "GET", "path": "/", "http_version": "1.1"}
SOCKET = {"type": "websocket", "path": "/ws", "http_version": "1.1"}
STREAM: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream")],
}
LAST = {"type": "http.response.body", "body": b"all"}
CONNECT = {"type": "websocket.connect"}
GONE = {"type": "websocket.disconnect", "code": 1001}
GRACE_S = 0.02


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give apps little time, so that the tests are short."""
    monkeypatch.setattr(stream, "GRACE_S", GRACE_S)


def make() -> Drain:
    """Return a drain without a supervisor and without signals."""
    return Drain(environ={}, on_signal=None)


def serve(drain: Drain, app: Any, scope: Message, *messages: Message) -> list[Message]:
    """Serve one scope under asyncio, and return what was sent."""
    sent: list[Message] = []
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(drain.asgi(app)(scope, receive, send), 20))
    return sent


async def graces(number: int) -> None:
    """Work for several times as long as an app may take to end."""
    for _ in range(number):
        await asyncio.to_thread(threading.Event().wait, GRACE_S)


@pytest.mark.parametrize("scope", [HTTP, SOCKET], ids=["event stream", "websocket"])
def test_a_procedure_within_is_finished_first(scope: Message) -> None:
    """The stream is ended at once, the app when its procedure is done."""
    drain = make()
    done: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send(STREAM if scope is HTTP else {"type": "websocket.accept"})
        async with drain.procedure("outer"), drain.procedure("inner"):
            drain._take_order("drain recycle")
            await graces(8)
            done.append("procedure")
        await asyncio.Event().wait()

    sent = serve(drain, app, scope, CONNECT)
    assert done == ["procedure"]
    assert sent[-1]["type"] in ("http.response.body", "websocket.close")
    assert drain.counts()["requests"] == 0


def test_work_after_a_whole_event_stream_is_finished() -> None:
    """It has ended by itself: nothing is sent after it, and the app is not cancelled."""
    drain = make()
    done: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send(STREAM)
        await send({**LAST, "more_body": True})
        await send(LAST)
        drain._take_order("drain handoff")
        await graces(8)
        done.append("background task")

    sent = serve(drain, app, HTTP)
    assert done == ["background task"]
    assert sent[1:] == [{**LAST, "more_body": True}, LAST]


def test_work_after_a_websockets_client_is_gone_is_finished() -> None:
    """There is no stream left to end."""
    drain = make()
    done: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        assert await receive() == CONNECT
        await send({"type": "websocket.accept"})
        assert await receive() == GONE
        drain._take_order("drain recycle")
        await graces(8)
        done.append("goodbye")

    assert serve(drain, app, SOCKET, CONNECT, GONE) == [{"type": "websocket.accept"}]
    assert done == ["goodbye"]


def test_a_procedure_elsewhere_delays_no_stream() -> None:
    """Nor does a job that runs for ever."""
    drain = make()
    with drain.procedure("elsewhere"):

        async def app(scope: Message, receive: Any, send: Any) -> None:
            await send(STREAM)
            drain._take_order("drain handoff")
            await asyncio.Event().wait()

        serve_in_empty_context(lambda: serve(drain, app, HTTP))
    assert drain.counts()["requests"] == 0


def serve_in_empty_context(call: Callable[[], Any]) -> None:
    """Call outside the context of the procedure, as a server does."""
    import contextvars

    contextvars.Context().run(call)


@pytest.mark.parametrize("scope", [HTTP, SOCKET], ids=["event stream", "websocket"])
@pytest.mark.parametrize("order", ["undrain", "drain handoff"])
def test_without_asyncio_streams_are_counted(scope: Message, order: str) -> None:
    """Under trio a drain does not end them; other requests are served as ever."""
    drain = make()
    counted: list[int] = []
    sent: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send(STREAM if scope is HTTP else {"type": "websocket.accept"})
        drain._take_order(order)
        counted.append(drain.counts()["requests"])
        await send(LAST if scope is HTTP else {"type": "websocket.close"})

    async def receive() -> Message:
        return CONNECT

    async def send(message: Message) -> None:
        sent.append(message["type"])

    by_hand(drain.asgi(app)(scope, receive, send))
    assert counted == [1]
    assert len(sent) == 2
    assert drain.counts()["requests"] == 0


def test_without_asyncio_a_refusal_reads_the_body_first() -> None:
    """Only the bytes are limited; the time limit is the server's."""
    drain = make()
    drain.core.take_order("drain recycle")
    sent: list[Message] = []
    pieces = [
        {"type": "http.request", "body": b"x", "more_body": n > 0} for n in (1, 0)
    ]

    async def receive() -> Message:
        return pieces.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    by_hand(drain.asgi(None)(HTTP, receive, send))
    assert pieces == []
    assert sent[0]["status"] == 503


def by_hand(awaitable: Awaitable[None]) -> None:
    """Run a coroutine that waits for nothing, with no loop at all."""
    with pytest.raises(StopIteration):
        awaitable.__await__().send(None)
