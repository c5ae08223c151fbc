"""Work that must finish once it has begun, whatever the process is ordered to do."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from contextvars import Token
from typing import Any, TypeVar

from gapless_drain.activity import Activity, current, restore_current
from gapless_drain.core import Core

Function = TypeVar("Function", bound=Callable[..., Any])


class Procedure:
    """One procedure: a context manager, sync or async, or a decorator."""

    def __init__(self, core: Core, name: str) -> None:
        self._core, self._name = core, name
        self._activity: Activity | None = None
        self._token: Token[Activity | None] | None = None

    def __enter__(self) -> None:
        """Begin.  Raises Draining."""
        if self._activity is not None:
            raise RuntimeError(f"the procedure {self._name!r} has begun already")
        self._activity = self._core.begin(self._name, time.monotonic(), current.get())
        self._token = current.set(self._activity)

    def __exit__(self, *error: object) -> None:
        """Finish, also with an error."""
        activity = self._leave()
        if activity is not None:
            self._core.finish(activity, time.monotonic())

    async def __aenter__(self) -> None:
        """Begin.  Raises Draining."""
        self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        """Finish, also with an error or a cancellation."""
        self.__exit__()

    def __call__(self, function: Function) -> Function:
        """Make each call of *function* a procedure of this name."""
        return decorate(self._core, self._name, function)

    def _leave(self) -> Activity | None:
        """Make it no longer current; return it, or None if it has not begun."""
        activity, token = self._activity, self._token
        if activity is None or token is None:
            return None
        self._activity = self._token = None
        restore_current(token, activity)
        return activity


class _GeneratorProcedure:
    """A generator that is one procedure: it is current only while a step runs."""

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._activity = core.begin(name, time.monotonic(), current.get())

    def __enter__(self) -> None:
        """Begin a step."""
        self._token = current.set(self._activity)

    def __exit__(self, *error: object) -> None:
        """End a step."""
        restore_current(self._token, self._activity)

    def finish(self) -> None:
        """Finish the procedure, also with an error."""
        self._core.finish(self._activity, time.monotonic())


def decorate(core: Core, name: str, function: Function) -> Function:
    """Make each call a procedure: of a function, a coroutine function, a generator."""
    wrap: Callable[[Core, str, Any], Any]
    if inspect.isasyncgenfunction(function):
        wrap = _wrap_async_generator
    elif inspect.iscoroutinefunction(function):
        wrap = _wrap_coroutine
    elif inspect.isgeneratorfunction(function):
        wrap = _wrap_generator
    else:
        wrap = _wrap_function
    wrapped: Any = functools.wraps(function)(wrap(core, name, function))
    return wrapped  # type: ignore[no-any-return]  # it has the type of function


def _wrap_function(core: Core, name: str, function: Any) -> Any:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with Procedure(core, name):
            return function(*args, **kwargs)

    return wrapped


def _wrap_coroutine(core: Core, name: str, function: Any) -> Any:
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        with Procedure(core, name):
            return await function(*args, **kwargs)

    return wrapped


def _wrap_generator(core: Core, name: str, function: Any) -> Any:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        procedure = _GeneratorProcedure(core, name)
        generator = function(*args, **kwargs)
        step: Any = generator.__next__
        sent: tuple[Any, ...] = ()
        try:
            while True:
                with procedure:
                    try:
                        found = step(*sent)
                    except StopIteration as end:
                        return end.value
                try:
                    step, sent = generator.send, ((yield found),)
                except BaseException as error:  # noqa: BLE001 - it is the function's
                    step, sent = generator.throw, (error,)
        finally:
            procedure.finish()

    return wrapped


def _wrap_async_generator(core: Core, name: str, function: Any) -> Any:
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        procedure = _GeneratorProcedure(core, name)
        generator = function(*args, **kwargs)
        step: Any = generator.__anext__
        sent: tuple[Any, ...] = ()
        try:
            while True:
                with procedure:
                    try:
                        found = await step(*sent)
                    except StopAsyncIteration:
                        return
                try:
                    step, sent = generator.asend, ((yield found),)
                except BaseException as error:  # noqa: BLE001 - it is the function's
                    step, sent = generator.athrow, (error,)
        finally:
            procedure.finish()

    return wrapped
