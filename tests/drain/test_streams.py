"""What a drain may end of a websocket or an event stream, and what it must not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import types
from collections.abc import Awaitable, Callable, Generator
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
EVENT = {"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True}
CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
HELLO = {"type": "websocket.receive", "text": "hello"}
GONE = {"type": "websocket.disconnect", "code": 1001}
GRACE_S = 0.02


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give apps little time, so that the tests are short."""
    monkeypatch.setattr(stream, "GRACE_S", GRACE_S)


def make(**settings: Any) -> Drain:
    """Return a drain without a supervisor and without signals."""
    return Drain(environ={}, on_signal=None, **settings)


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


@types.coroutine
def turn() -> Generator[None, None, None]:
    """Let the loop take one turn."""
    yield


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


def test_an_app_that_was_told_by_a_disconnect_does_what_it_has_to_do() -> None:
    """What it writes at the end of a websocket is written in a release too."""
    drain = make()
    done: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        drain._take_order("drain handoff")
        assert (await receive())["code"] == 1012
        await graces(5)
        done.append("transcript")

    assert serve(drain, app, SOCKET, CONNECT)[-1]["code"] == 1012
    assert done == ["transcript"]


def test_a_message_that_is_being_handled_is_handled() -> None:
    """The app is told by the next `receive`; meanwhile nothing cancels it."""
    drain = make()
    done: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        assert await receive() == HELLO
        drain._take_order("drain handoff")
        await graces(5)
        done.append("handled")
        assert (await receive())["code"] == 1012
        await graces(5)
        done.append("saved")

    serve(drain, app, SOCKET, CONNECT, HELLO)
    assert done == ["handled", "saved"]


def test_an_app_that_waits_for_something_else_is_cancelled() -> None:
    """One that has received a message, and may be handling it, late in the drain."""
    drain = make(drain_timeout_s=20 * GRACE_S)
    took: list[float] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        if len(took) == 1:
            await receive()
        drain._take_order("undrain")
        drain._take_order("drain handoff")
        now = asyncio.get_running_loop().time
        since = now()
        try:
            await asyncio.Event().wait()
        finally:
            took.append((now() - since) / GRACE_S)

    serve(drain, app, SOCKET, CONNECT)
    drain._take_order("undrain")
    serve(drain, app, SOCKET, CONNECT, HELLO)
    assert 1 <= took[0] <= took[1]
    assert took[1] >= 18


def test_an_app_that_only_sends_is_told_by_that() -> None:
    """It follows something else, and never receives: its next message fails."""
    drain = make()
    done: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        drain._take_order("drain handoff")
        try:
            while True:
                await send({"type": "websocket.send", "text": "news"})
                await graces(1)
        except OSError:
            await graces(5)
            done.append("saved")
            raise

    serve(drain, app, SOCKET, CONNECT, HELLO)
    assert done == ["saved"]


def test_an_app_is_not_told_by_what_another_task_sends() -> None:
    """Its own task waits for something else, and is cancelled."""
    drain = make(drain_timeout_s=4 * GRACE_S)

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        assert await receive() == HELLO

        async def tell() -> None:
            with contextlib.suppress(OSError):
                while True:
                    await send({"type": "websocket.send", "text": "tick"})
                    await graces(1)

        telling = asyncio.create_task(tell())
        drain._take_order("drain recycle")
        await telling
        await asyncio.Event().wait()

    assert serve(drain, app, SOCKET, CONNECT, HELLO)[-1]["code"] == 1012
    assert drain.counts()["requests"] == 0


def test_an_event_stream_that_was_told_ends_as_it_likes() -> None:
    """What its generator does at its end is not cancelled."""
    drain = make()
    done: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send(STREAM)
        try:
            while True:
                await send(EVENT)
                drain._take_order("drain handoff")
                await turn()
        finally:
            await graces(5)
            done.append("saved")

    assert serve(drain, app, HTTP)[-1] == {**LAST, "body": b""}
    assert done == ["saved"]


@pytest.mark.parametrize("turns_before", range(4))
@pytest.mark.parametrize("turns_after", range(4))
def test_no_message_is_lost_when_a_receive_is_cancelled(
    turns_before: int, turns_after: int
) -> None:
    """Whether it came before the cancellation or in the same moment."""
    drain = make()
    texts: list[str] = []
    arrived: asyncio.Queue[Message] = asyncio.Queue()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        for number in range(3):
            waiting = asyncio.ensure_future(receive())
            for _ in range(turns_before):
                await turn()
            arrived.put_nowait({**HELLO, "text": str(number)})
            for _ in range(turns_after):
                await turn()
            waiting.cancel()
            try:
                texts.append((await waiting)["text"])
            except asyncio.CancelledError:
                continue
        arrived.put_nowait(GONE)
        while (message := await receive()) != GONE:
            texts.append(message["text"])

    async def run() -> None:
        arrived.put_nowait(CONNECT)

        async def send(message: Message) -> None: ...

        await asyncio.wait_for(drain.asgi(app)(SOCKET, arrived.get, send), 20)

    asyncio.run(run())
    assert texts == ["0", "1", "2"]


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
