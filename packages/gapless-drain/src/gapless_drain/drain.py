"""The one object that an app makes: middleware, procedures, and the wait for a drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, overload

from gapless_drain.core import Mode
from gapless_drain.procedure import Procedure, decorate
from gapless_drain.process import ProcessDrain
from gapless_drain.web.asgi import AsgiMiddleware
from gapless_drain.web.wsgi import WsgiMiddleware

Function = TypeVar("Function", bound=Callable[..., Any])


class Drain(ProcessDrain):
    """What is under way in this process, and the order from outside to finish it."""

    def asgi(self, app: Any) -> AsgiMiddleware:
        """Return an ASGI app that counts and refuses requests in front of *app*."""
        return AsgiMiddleware(app, self)

    def wsgi(self, app: Any) -> WsgiMiddleware:
        """Return a WSGI app that counts and refuses requests in front of *app*."""
        return WsgiMiddleware(app, self)

    @overload
    def procedure(self, named: str) -> Procedure: ...
    @overload
    def procedure(self, named: Function) -> Function: ...
    def procedure(self, named: Any) -> Any:
        """Mark work that must finish: `with`, `async with`, or a decorator.

        *named* is the procedure's name, or the function itself.  To begin it raises
        Draining if the process drains, except within an admitted request or a procedure
        that are under way.
        """
        if callable(named):
            name = getattr(named, "__qualname__", repr(named))
            return decorate(self.core, name, named)
        return Procedure(self.core, str(named))

    @property
    def mode(self) -> Mode:
        """What the process does with new requests."""
        return self.core.mode

    def ready(self) -> None:
        """Tell the supervisor that the app is ready (`ready = "notify"`)."""
        if self._connection is not None:
            self._connection.send_ready()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until a drain begins; return whether it has.  For long polls in threads."""
        return self._drain_begun.wait(timeout_s)

    async def begun(self) -> None:
        """Wait until a drain begins.  For long polls under asyncio."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def resolve() -> None:
            if not future.done():
                future.set_result(None)

        def wake() -> None:
            loop.call_soon_threadsafe(resolve)

        self._callbacks.append(wake)
        try:
            if not self._drain_begun.is_set():
                await future
        finally:
            self._callbacks.remove(wake)

    def on_drain(self, callback: Callable[[], None]) -> None:
        """Call *callback* whenever a drain begins, in a thread of the library."""
        self._callbacks.append(callback)

    def close(self) -> None:
        """Send the counts a last time, disconnect, and restore the signal handlers.

        For tests, and for a child that ends by os._exit: without it, what the child
        finished just before would look as if it had been cut.
        """
        self._signals.restore()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
