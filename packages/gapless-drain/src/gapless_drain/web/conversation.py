"""A websocket or an event stream, and how a drain ends it in good order (asyncio)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from gapless_drain.core import Core, Ticket

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
    """A websocket or an event stream that a drain ends.  Needs asyncio."""

    def __init__(
        self, core: Core, ticket: Ticket, send: Send, farewell: Message
    ) -> None:
        self._core, self._ticket = core, ticket
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
        while not await self._was_quiet():
            pass
        if self._app is not None and not self._app.done():
            self.cancelled = True
            self._app.cancel()

    async def _was_quiet(self) -> bool:
        """Give the app its time; not while a procedure within is to be finished."""
        before = self._core.has_procedure_within(self._ticket)
        await asyncio.sleep(GRACE_S)
        return not before and not self._core.has_procedure_within(self._ticket)

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


async def _once(awaitable: Awaitable[Any]) -> Any:
    """Make a coroutine of what a server returns, whatever it is."""
    return await awaitable


def is_ours(error: BaseException, conversation: Conversation | None) -> bool:
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
