"""The ASGI middleware: one request, websocket or event stream at a time.

https://asgi.readthedocs.io/en/stable/specs/www.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from gapless_drain.core import DRAINING, Mode, Ticket, current, leave
from gapless_drain.process import ProcessDrain
from gapless_drain.settings import BODY, Settings
from gapless_drain.web.conversation import (
    SERVICE_RESTART,
    Conversation,
    Message,
    Receive,
    Send,
    StreamEndedError,
    is_ours,
)


class AsgiMiddleware:
    """Counts what an app is asked, and refuses when it is to end."""

    def __init__(self, app: Any, drain: ProcessDrain) -> None:
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
                await self._serve(scope, receive, send, ticket)
            elif _asyncio_runs():
                await self._converse(scope, receive, send, ticket)
            else:  # counted, but it ends by itself (trio)
                await self._app(scope, receive, send)
        finally:
            leave(token, ticket)
            self._core.finish(ticket, time.monotonic())

    async def _serve(
        self, scope: Message, receive: Receive, send: Send, ticket: Ticket
    ) -> None:
        core, drain = self._core, self._drain
        conversation: Conversation | None = None

        def answer(message: Message) -> Awaitable[None]:
            nonlocal conversation
            if conversation is not None:
                if conversation.over:
                    raise StreamEndedError
                if not message.get("more_body"):  # whole: there is nothing to end
                    conversation.over = True
                    drain.unwatch(conversation)
                    conversation = None
            if message["type"] == "http.response.start":
                if core.mode in DRAINING:
                    message = closing(scope, message)
                if is_event_stream(message) and _asyncio_runs():
                    end = {"type": "http.response.body", "body": b""}
                    conversation = Conversation(core, ticket, send, end)
                    return _begin_stream(drain, conversation, send, message)
            return send(message)

        try:
            await self._app(scope, receive, answer)
        except BaseException as error:
            if not is_ours(error, conversation):
                raise
        finally:
            if conversation is not None:
                drain.unwatch(conversation)
                await conversation.left()

    async def _converse(
        self, scope: Message, receive: Receive, send: Send, ticket: Ticket
    ) -> None:
        farewell = {
            "type": "websocket.close",
            "code": SERVICE_RESTART,
            "reason": "service restart",
        }
        conversation = Conversation(self._core, ticket, send, farewell)

        async def listen() -> Message:
            message = await conversation.hear(receive)
            if message["type"] == "websocket.disconnect":
                self._drain.unwatch(conversation)  # there is nothing left to end
            return message

        async def say(message: Message) -> None:
            if conversation.over:
                return  # it was closed: the app will learn so from `receive`
            if message["type"] == "websocket.close":
                conversation.over = True
            await send(message)

        self._drain.watch(conversation)
        try:
            await self._app(scope, listen, say)
        except BaseException as error:
            if not is_ours(error, conversation):
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


async def _begin_stream(
    drain: ProcessDrain, conversation: Conversation, send: Send, message: Message
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
        except (TimeoutError, asyncio.TimeoutError):  # noqa: UP041 - two, before 3.11
            return
        if message["type"] != "http.request":
            return
        left -= len(message.get("body", b""))
        more = message.get("more_body", False)


async def _within(awaitable: Awaitable[Message], seconds: float) -> Message:
    """Wait no longer than *seconds*, where asyncio runs; elsewhere the server's limit."""
    if not _asyncio_runs():
        return await awaitable
    return await asyncio.wait_for(awaitable, max(seconds, 0))


def _asyncio_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another loop, as trio's
        return False
    return True


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
