"""The ASGI middleware: one request, websocket or event stream at a time.

https://asgi.readthedocs.io/en/stable/specs/www.html
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from gapless_drain.activity import Activity, current, restore_current
from gapless_drain.process import ProcessDrain
from gapless_drain.web.asgi_messages import (
    SERVICE_RESTART,
    Message,
    Receive,
    Send,
    is_event_stream,
    runs_asyncio,
    with_connection_close,
)
from gapless_drain.web.asgi_refusal import AsgiRefusal
from gapless_drain.web.stream import AsgiStream, is_caused_by_end


class AsgiMiddleware:
    """Counts the requests of an app, and refuses them in a recycle drain."""

    def __init__(self, app: Any, drain: ProcessDrain) -> None:
        self._app, self._drain, self._core = app, drain, drain.core
        drain.count_requests()
        self._refusal = AsgiRefusal(drain.core, drain.settings)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        drain, core = self._drain, self._core
        if not drain.signals_installed:
            drain.install_signals()
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not core.serves and await self._refusal.answer_health(scope, send):
            return
        activity = core.admit(scope, time.monotonic())
        token = current.set(activity)
        try:
            if not activity.admitted:
                await self._refusal.refuse(scope, receive, send)
            elif kind == "http":
                await self._serve_http(scope, receive, send, activity)
            elif runs_asyncio():
                await self._serve_websocket(scope, receive, send, activity)
            else:  # it is counted, but a drain cannot end it (trio)
                await self._app(scope, receive, send)
        finally:
            restore_current(token, activity)
            core.finish(activity, time.monotonic())

    async def _serve_http(
        self, scope: Message, receive: Receive, send: Send, activity: Activity
    ) -> None:
        core, drain = self._core, self._drain
        stream: AsgiStream | None = None

        def send_answer(message: Message) -> Awaitable[None]:
            nonlocal stream
            if stream is not None:
                if stream.is_over:
                    stream.refuse_send(soon=True)
                if not message.get(
                    "more_body"
                ):  # it is complete: nothing is left to end
                    stream.is_over = True
                    drain.remove_stream(stream)
                    stream = None
            if message["type"] == "http.response.start":
                if core.drains:
                    message = with_connection_close(scope, message)
                if is_event_stream(message) and runs_asyncio():
                    end = {"type": "http.response.body", "body": b""}
                    limit_s = drain.settings.drain_timeout_s
                    stream = AsgiStream(core, activity, send, end, limit_s)
                    return _begin_stream(drain, stream, send, message)
            return send(message)

        try:
            await self._app(scope, receive, send_answer)
        except BaseException as error:
            if not is_caused_by_end(error, stream):
                raise
        finally:
            if stream is not None:
                drain.remove_stream(stream)
                await stream.app_returned()

    async def _serve_websocket(
        self, scope: Message, receive: Receive, send: Send, activity: Activity
    ) -> None:
        close = {
            "type": "websocket.close",
            "code": SERVICE_RESTART,
            "reason": "service restart",
        }
        limit_s = self._drain.settings.drain_timeout_s
        stream = AsgiStream(self._core, activity, send, close, limit_s)

        async def receive_message() -> Message:
            message = await stream.receive(receive)
            if message["type"] == "websocket.disconnect":
                self._drain.remove_stream(stream)  # there is nothing left to end
            return message

        async def send_message(message: Message) -> None:
            if stream.is_over:
                # The next `receive` tells the app that it was closed, if one comes soon.
                stream.refuse_send(soon=False)
                return
            if message["type"] == "websocket.close":
                stream.is_over = True
            await send(message)

        self._drain.add_stream(stream)
        try:
            await self._app(scope, receive_message, send_message)
        except BaseException as error:
            if not is_caused_by_end(error, stream):
                raise
        finally:
            self._drain.remove_stream(stream)
            await stream.app_returned()


async def _begin_stream(
    drain: ProcessDrain, stream: AsgiStream, send: Send, start: Message
) -> None:
    await send(start)
    drain.add_stream(stream)
