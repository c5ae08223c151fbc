"""The ASGI middleware: one request, websocket or event stream at a time.

https://asgi.readthedocs.io/en/stable/specs/www.html
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gapless_drain.core import DRAINING, Mode, current
from gapless_drain.settings import BODY, Settings

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
SERVICE_RESTART = 1012
"""The websocket close code (RFC 6455; IANA's registry of close codes)."""
GRACE_S = 1.0
"""How long an app may take to notice that its stream has ended."""


class StreamEndedError(OSError):
    """The drain has ended the stream on which an app wants to send."""


class Conversation:
    """A websocket or an event stream that a drain ends."""

    def __init__(self, send: Send, farewell: Message) -> None:
        self._send, self._farewell = send, farewell
        self._loop = asyncio.get_running_loop()
        self._app = asyncio.current_task()
        self._goodbye: asyncio.Task[None] | None = None
        self._ended, self._said = asyncio.Event(), asyncio.Event()
        self.over = self.cancelled = False

    def end(self) -> None:
        """Say goodbye soon.  May be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is all else
            self._loop.call_soon_threadsafe(self._begin_to_end)

    def _begin_to_end(self) -> None:
        if not self.over and self._goodbye is None:
            self._goodbye = self._loop.create_task(self._end())

    async def _end(self) -> None:
        self.over = True
        self._ended.set()
        # The client may have gone before us, or the server may not send while the app
        # receives (granian).
        with contextlib.suppress(Exception):
            await asyncio.wait_for(_once(self._send(self._farewell)), GRACE_S)
        self._said.set()
        await asyncio.sleep(GRACE_S)
        if self._app is not None and not self._app.done():
            self.cancelled = True
            self._app.cancel()

    async def hear(self, receive: Receive) -> Message:
        """Return what comes next: a message, or the end."""
        ended = asyncio.ensure_future(self._ended.wait())
        heard: asyncio.Future[Message] = asyncio.ensure_future(_once(receive()))
        try:
            both: set[asyncio.Future[Any]] = {ended, heard}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if heard.done():
                return heard.result()
            return {"type": "websocket.disconnect", "code": SERVICE_RESTART}
        finally:
            ended.cancel()
            if not heard.done():
                heard.cancel()

    async def left(self) -> None:
        """Note that the app has returned; wait until goodbye was said."""
        self.over = True
        if self._goodbye is not None:
            await self._said.wait()
            if not self.cancelled:
                self._goodbye.cancel()


class AsgiMiddleware:
    """Counts what an app is asked, and refuses when it is to end."""

    def __init__(self, app: Any, drain: Drain) -> None:
        self._app, self._drain, self._core = app, drain, drain.core

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        drain = self._drain
        if not drain.armed:
            drain.arm()
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if self._core.mode is not Mode.SERVING and await self._health(scope, send):
            return
        ticket = self._core.admit(scope, time.monotonic())
        token = current.set(ticket)
        try:
            if not ticket.admitted:
                await self._refuse(scope, receive, send)
            elif kind == "http":
                await self._serve(scope, receive, send)
            else:
                await self._converse(scope, receive, send)
        finally:
            current.reset(token)
            self._core.finish(ticket, time.monotonic())

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        core, drain = self._core, self._drain
        conversation: Conversation | None = None

        def answer(message: Message) -> Awaitable[None]:
            nonlocal conversation
            if conversation is not None and conversation.over:
                raise StreamEndedError
            if message["type"] == "http.response.start":
                if core.mode in DRAINING:
                    message = closing(scope, message)
                if is_event_stream(message):
                    end = {"type": "http.response.body", "body": b""}
                    conversation = Conversation(send, end)
                    return _begin_stream(drain, conversation, send, message)
            return send(message)

        try:
            await self._app(scope, receive, answer)
        except BaseException as error:
            if not _is_ours(error, conversation):
                raise
        finally:
            if conversation is not None:
                drain.unwatch(conversation)
                await conversation.left()

    async def _converse(self, scope: Message, receive: Receive, send: Send) -> None:
        farewell = {
            "type": "websocket.close",
            "code": SERVICE_RESTART,
            "reason": "service restart",
        }
        conversation = Conversation(send, farewell)

        async def say(message: Message) -> None:
            if conversation.over:
                return  # it was closed: the app will learn so from `receive`
            if message["type"] == "websocket.close":
                conversation.over = True
            await send(message)

        self._drain.watch(conversation)
        try:
            await self._app(scope, lambda: conversation.hear(receive), say)
        except BaseException as error:
            if not _is_ours(error, conversation):
                raise
        finally:
            self._drain.unwatch(conversation)
            await conversation.left()

    async def _health(self, scope: Message, send: Send) -> bool:
        """Answer the health path, if this is it and the process is to leave."""
        settings, mode = self._drain.settings, self._core.mode
        leaves = mode in (Mode.LEAVING, Mode.RECYCLE)
        if not leaves or scope.get("path") != settings.health_path:
            return False
        await self._answer(scope, send, settings.health_status)
        return True

    async def _refuse(self, scope: Message, receive: Receive, send: Send) -> None:
        status = self._drain.settings.status
        if scope["type"] == "http":
            await _discard(receive, self._drain.settings)
            await self._answer(scope, send, status)
            return
        await receive()
        if "websocket.http.response" in scope.get("extensions", {}):
            await self._answer(scope, send, status)
        else:
            await send({"type": "websocket.close", "code": SERVICE_RESTART})

    async def _answer(self, scope: Message, send: Send, status: int) -> None:
        prefix = "websocket.http" if scope["type"] == "websocket" else "http"
        named = self._drain.settings.headers(self._core.mode.value)
        headers = [(name.lower().encode(), value.encode()) for name, value in named]
        start = {
            "type": f"{prefix}.response.start",
            "status": status,
            "headers": headers,
        }
        await send(closing(scope, start))
        body = b"" if scope.get("method") == "HEAD" else BODY
        await send({"type": f"{prefix}.response.body", "body": body})


async def _once(awaitable: Awaitable[Any]) -> Any:
    """Make a coroutine of what a server returns, whatever it is."""
    return await awaitable


async def _begin_stream(
    drain: Drain, conversation: Conversation, send: Send, message: Message
) -> None:
    await send(message)
    drain.watch(conversation)


async def _discard(receive: Receive, settings: Settings) -> None:
    """Read and forget the body, up to the limits."""
    left = settings.discard_bytes
    more = True
    until = time.monotonic() + settings.discard_s
    while more and left > 0:
        try:
            message = await _within(receive(), until - time.monotonic())
        except TimeoutError:
            return
        if message["type"] != "http.request":
            return
        left -= len(message.get("body", b""))
        more = message.get("more_body", False)


async def _within(awaitable: Awaitable[Message], seconds: float) -> Message:
    """Wait no longer than *seconds*, where asyncio runs; elsewhere the server's limit."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await awaitable
    return await asyncio.wait_for(awaitable, max(seconds, 0))


def closing(scope: Message, message: Message) -> Message:
    """Return the head of an answer after which the connection is closed (HTTP/1)."""
    if not scope.get("http_version", "1.1").startswith("1"):
        return message
    kept = [
        (name, value)
        for name, value in message.get("headers", ())
        if name.lower() != b"connection"
    ]
    return {**message, "headers": [*kept, (b"connection", b"close")]}


def is_event_stream(message: Message) -> bool:
    """Tell whether an answer is a stream of server-sent events."""
    for name, value in message.get("headers", ()):
        if len(name) == 12 and name.lower() == b"content-type":
            return bool(bytes(value).startswith(b"text/event-stream"))
    return False


def _is_ours(error: BaseException, conversation: Conversation | None) -> bool:
    """Tell whether an app fails only because we have ended its stream."""
    if conversation is None or not conversation.over:
        return False
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if conversation.cancelled and task is not None and hasattr(task, "uncancel"):
            task.uncancel()
        return conversation.cancelled
    seen: list[BaseException | None] = [error]
    while seen:
        each = seen.pop()
        if isinstance(each, StreamEndedError):
            return True
        if each is not None:
            seen += [each.__cause__, *getattr(each, "exceptions", ())]
            if not each.__suppress_context__:
                seen.append(each.__context__)
    return False
