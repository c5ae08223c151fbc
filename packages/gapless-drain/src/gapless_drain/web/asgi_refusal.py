"""The answers that the library gives in the place of an ASGI app."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from gapless_drain.core import UNHEALTHY, Core
from gapless_drain.settings import BODY, Settings
from gapless_drain.web.asgi_messages import (
    SERVICE_RESTART,
    Message,
    Receive,
    Send,
    runs_asyncio,
    with_connection_close,
)


class AsgiRefusal:
    """Answers requests for the health path, and requests that are refused."""

    def __init__(self, core: Core, settings: Settings) -> None:
        self._core, self._settings = core, settings

    async def answer_health(self, scope: Message, send: Send) -> bool:
        """Return whether this was a request for the health path, answered with no."""
        settings, mode = self._settings, self._core.mode
        if mode not in UNHEALTHY or scope.get("path") != settings.health_path:
            return False
        await self._answer(scope, send, settings.health_status)
        return True

    async def refuse(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse a request or a websocket, once its body was read and thrown away."""
        status = self._settings.status
        if scope["type"] == "http":
            await _discard(receive, self._settings)
            await self._answer(scope, send, status)
            return
        await receive()
        if "websocket.http.response" in scope.get("extensions", {}):
            await self._answer(scope, send, status)
        else:
            await send({"type": "websocket.close", "code": SERVICE_RESTART})

    async def _answer(self, scope: Message, send: Send, status: int) -> None:
        prefix = "websocket.http" if scope["type"] == "websocket" else "http"
        headers = self._settings.headers(self._core.mode.value)
        start = {
            "type": f"{prefix}.response.start",
            "status": status,
            "headers": [(name.lower().encode(), v.encode()) for name, v in headers],
        }
        await send(with_connection_close(scope, start))
        body = b"" if scope.get("method") == "HEAD" else BODY
        await send({"type": f"{prefix}.response.body", "body": body})


async def _discard(receive: Receive, settings: Settings) -> None:
    """Read the body and throw it away, up to the limits."""
    left_bytes = settings.discard_bytes
    more = True
    until = time.monotonic() + settings.discard_s
    while more and left_bytes > 0:
        try:
            message = await _with_timeout(receive(), until - time.monotonic())
        except TimeoutError:
            return
        if message["type"] != "http.request":
            return
        left_bytes -= len(message.get("body", b""))
        more = message.get("more_body", False)


async def _with_timeout(awaitable: Awaitable[Message], timeout_s: float) -> Message:
    """Wait no longer than that under asyncio; under another loop the server's limit."""
    if not runs_asyncio():
        return await awaitable
    return await asyncio.wait_for(awaitable, max(timeout_s, 0))
