"""A websocket or an event stream, and how a drain ends it in good order (asyncio)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

from gapless_drain.activity import Activity
from gapless_drain.core import Core
from gapless_drain.web.asgi_messages import SERVICE_RESTART, Message, Receive, Send

GRACE_S = 1.0
"""How long an app may take to notice that its stream has ended."""
LATE = 0.9
"""The part of the drain's time that an app has which may be handling a message."""


class StreamEndedError(OSError):
    """The drain has ended the stream on which an app wants to send."""


class AsgiStream:
    """A websocket or an event stream that a drain ends.  Needs asyncio.

    An app that was told of the end, by what it received or as it sent, does what it has to
    do and returns when it likes.  Only one that was not is cancelled: it may wait for ever
    for something else.
    """

    def __init__(
        self,
        core: Core,
        activity: Activity,
        send: Send,
        last_message: Message,
        drain_timeout_s: float,
    ) -> None:
        """*last_message* is sent to the client when the drain ends the stream."""
        self._core, self._activity = core, activity
        self._late_s = drain_timeout_s * LATE
        self._send, self._last_message = send, last_message
        self._loop = asyncio.get_running_loop()
        self._app = asyncio.current_task()
        self._ending: asyncio.Task[None] | None = None
        self._ended_by_drain = asyncio.Event()
        self._last_message_sent = asyncio.Event()
        self.is_over = False
        """Whether nothing more is to be sent, for whatever reason."""
        self.app_cancelled = False
        self._told = False
        """Whether the app was told that the stream has ended."""
        self._has_message = False
        """Whether it has received a message: then it may be handling one."""
        self._grace_over = False
        self._unreceived: list[asyncio.Future[Message]] = []
        """What the server was asked for by a `receive` that was cancelled."""

    def end(self) -> None:
        """End the stream soon.  May be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the stream
            self._loop.call_soon_threadsafe(self._start_ending)

    def _start_ending(self) -> None:
        if not self.is_over and self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        self.is_over = True
        self._ended_by_drain.set()
        # It may fail: the client may have gone, or the server cannot send while the app
        # receives (granian).
        with contextlib.suppress(Exception):
            sending = _as_coroutine(self._send(self._last_message))
            await asyncio.wait_for(sending, GRACE_S)
        self._last_message_sent.set()
        while not await self._wait_grace():
            pass
        self._grace_over = True
        if self._has_message:
            await asyncio.sleep(self._late_s)
        if not self._told and self._app is not None and not self._app.done():
            self.app_cancelled = True
            self._app.cancel()

    async def _wait_grace(self) -> bool:
        """Wait `GRACE_S`; return False if a procedure within was under way."""
        before = self._core.has_procedure_within(self._activity)
        await asyncio.sleep(GRACE_S)
        return not before and not self._core.has_procedure_within(self._activity)

    def refuse_send(self, *, soon: bool) -> None:
        """Tell an app that sends that its stream is over: *soon*, or after its grace.

        A task beside the app's own keeps that to itself, as one that sends to all.  Raises
        StreamEndedError.
        """
        if soon or self._grace_over:
            self._told |= asyncio.current_task() is self._app
            raise StreamEndedError

    async def receive(self, receive: Receive) -> Message:
        """Return the next message of a websocket; its disconnect when the drain ends it.

        It may be cancelled.  What the server has given out by then is received next.
        """
        while True:
            is_left = bool(self._unreceived)
            received: asyncio.Future[Message] = (
                self._unreceived.pop(0)
                if is_left
                else asyncio.ensure_future(_as_coroutine(receive()))
            )
            ended = asyncio.ensure_future(self._ended_by_drain.wait())
            both: set[asyncio.Future[Any]] = {ended, received}
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                self._unreceived.append(received)
                raise
            finally:
                ended.cancel()
                # Some servers cannot send a close while they are asked (granian).
                received.cancel()
            if not received.done():
                self._unreceived.append(received)
                self._told = True
                return {"type": "websocket.disconnect", "code": SERVICE_RESTART}
            if is_left and received.cancelled():
                continue  # it had given out nothing: ask it again
            message = received.result()
            self._told |= message["type"] == "websocket.disconnect"
            self._has_message |= message["type"] == "websocket.receive"
            return message

    async def app_returned(self) -> None:
        """Stop ending it, since the app has returned; first wait for the last message."""
        self.is_over = True
        for each in self._unreceived:
            if each.done() and not each.cancelled():
                each.exception()  # else asyncio logs that nobody has read it
        if self._ending is not None:
            await self._last_message_sent.wait()
            if not self.app_cancelled:
                self._ending.cancel()


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    """Wait for what a server returned, which may be any awaitable."""
    return await awaitable


def is_caused_by_end(error: BaseException, stream: AsgiStream | None) -> bool:
    """Return whether an app fails only because the drain has ended its stream."""
    if stream is None or not stream.is_over:
        return False
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if stream.app_cancelled and task is not None and hasattr(task, "uncancel"):
            task.uncancel()
        return stream.app_cancelled
    unchecked: list[BaseException | None] = [error]
    while unchecked:
        each = unchecked.pop()
        if isinstance(each, StreamEndedError):
            return True
        if each is not None:
            unchecked += [each.__cause__, *getattr(each, "exceptions", ())]
            if not each.__suppress_context__:
                unchecked.append(each.__context__)
    return False
