"""Questions about the messages of ASGI, and changes to them.

https://asgi.readthedocs.io/en/stable/specs/www.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
SERVICE_RESTART = 1012
"""The close code of a websocket (RFC 6455; IANA's registry of close codes)."""


def with_connection_close(scope: Message, start: Message) -> Message:
    """Return the head of an answer after which the connection is closed (HTTP/1)."""
    if not scope.get("http_version", "1.1").startswith("1"):
        return start
    kept = [
        (name, value)
        for name, value in start.get("headers", ())
        if name.lower() != b"connection"
    ]
    return {**start, "headers": [*kept, (b"connection", b"close")]}


def is_event_stream(start: Message) -> bool:
    """Return whether an answer is a stream of server-sent events."""
    for name, value in start.get("headers", ()):
        if len(name) == 12 and name.lower() == b"content-type":
            return bool(bytes(value).startswith(b"text/event-stream"))
    return False


def runs_asyncio() -> bool:
    """Return whether the code runs under asyncio, and not under another loop (trio)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
