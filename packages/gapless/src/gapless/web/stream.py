"""The stream of server-sent events of one browser.

A browser that reads too slowly is sent less often, and one that reads nothing for long is
given up.  https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gapless.web.feed import Feed, Watcher

HEARTBEAT_S = 15.0
"""A comment is sent then: the browser, and proxies between, see that we live."""
SEND_S = 30.0
RETRY_MS = 500


def event(name: str, value: Any) -> bytes:
    """Return one event; JSON has no newlines, which would end it."""
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


class EventStream(Response):
    """Sends what is new until the browser leaves."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, app: str, hello: dict[str, Any]) -> None:
        super().__init__()
        self._feed, self._app, self._hello = feed, app, hello

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events."""
        _ = scope
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.create_task(_gone(receive))
        try:
            async with self._feed.watched(self._app) as watcher:
                begin = f"retry: {RETRY_MS}\n\n".encode() + event("hello", self._hello)
                await _send(send, begin)
                while not gone.done():
                    found = self._feed.news(watcher)
                    piece = b"".join(event(name, value) for name, value in found)
                    await _send(send, piece or b": nothing is new\n\n")
                    await _wait(watcher, gone)
        except TimeoutError:
            return  # it reads nothing: nobody is there
        finally:
            gone.cancel()


async def _send(send: Send, piece: bytes) -> None:
    message = {"type": "http.response.body", "body": piece, "more_body": True}
    async with asyncio.timeout(SEND_S):
        await send(message)


async def _wait(watcher: Watcher, gone: asyncio.Task[None]) -> None:
    """Wait until something is new, the browser leaves, or it is time for a heartbeat."""
    wakes = asyncio.create_task(watcher.wakes.wait())
    try:
        await asyncio.wait(
            (wakes, gone), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        wakes.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await wakes


async def _gone(receive: Receive) -> None:
    """Return when the browser has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
