"""Work that must finish once it has begun, whatever becomes of the process."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, TypeVar

from gapless_drain.core import Core, Ticket, current, leave

Function = TypeVar("Function", bound=Callable[..., Any])


class Procedure:
    """One procedure: a context manager, sync or async, or a decorator."""

    def __init__(self, core: Core, name: str) -> None:
        self._core, self._name = core, name
        self._ticket: Ticket | None = None
        self._token: Token[Ticket | None] | None = None

    def __enter__(self) -> None:
        """Begin.  Raises Draining."""
        if self._ticket is not None:
            raise RuntimeError(f"the procedure {self._name!r} has begun already")
        self._ticket = self._core.begin(self._name, time.monotonic(), current.get())
        self._token = current.set(self._ticket)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish, also with an error."""
        ticket, token = self._ticket, self._token
        if ticket is None or token is None:
            return
        self._ticket = self._token = None
        leave(token, ticket)
        self._core.finish(ticket, time.monotonic())

    async def __aenter__(self) -> None:
        """Begin.  Raises Draining."""
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish, also with an error or a cancellation."""
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Function) -> Function:
        """Make each call of *function* a procedure of this name."""
        return decorate(self._core, self._name, function)


class _Steps:
    """The steps of a generator that is a procedure; between them others run."""

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._ticket = core.begin(name, time.monotonic(), current.get())

    def __enter__(self) -> None:
        self._token = current.set(self._ticket)

    def __exit__(self, *error: object) -> None:
        leave(self._token, self._ticket)

    def end(self) -> None:
        """Finish, also with an error."""
        self._core.finish(self._ticket, time.monotonic())


def decorate(core: Core, name: str, function: Function) -> Function:
    """Make each call a procedure: of a function, a coroutine function, a generator."""
    wrapped: Any
    if inspect.isasyncgenfunction(function):

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            steps = _Steps(core, name)
            generator = function(*args, **kwargs)
            step: Any = generator.__anext__
            given: tuple[Any, ...] = ()
            try:
                while True:
                    with steps:
                        try:
                            found = await step(*given)
                        except StopAsyncIteration:
                            return
                    try:
                        step, given = generator.asend, ((yield found),)
                    except BaseException as error:  # noqa: BLE001 - it is the function's
                        step, given = generator.athrow, (error,)
            finally:
                steps.end()

    elif inspect.iscoroutinefunction(function):

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            with Procedure(core, name):
                return await function(*args, **kwargs)

    elif inspect.isgeneratorfunction(function):

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            steps = _Steps(core, name)
            generator = function(*args, **kwargs)
            step: Any = generator.__next__
            given: tuple[Any, ...] = ()
            try:
                while True:
                    with steps:
                        try:
                            found = step(*given)
                        except StopIteration as end:
                            return end.value
                    try:
                        step, given = generator.send, ((yield found),)
                    except BaseException as error:  # noqa: BLE001 - it is the function's
                        step, given = generator.throw, (error,)
            finally:
                steps.end()

    else:

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with Procedure(core, name):
                return function(*args, **kwargs)

    found: Any = functools.wraps(function)(wrapped)
    return found  # type: ignore[no-any-return]  # it is what function was
