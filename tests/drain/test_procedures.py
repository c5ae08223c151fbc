"""Procedures that the app marks: in generators, in tasks, and in other contexts."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from gapless_drain import Drain, Draining, Mode
from gapless_drain.activity import Activity, current
from gapless_drain.databases.statement_counter import StatementCounter
from gapless_drain.databases.stored_procedure import OpenProcedures

from rig.databases.statements import names, request_under_way


@pytest.fixture
def drain() -> Iterator[Drain]:
    """Return a drain without signals and without a supervisor."""
    found = Drain(on_signal=None, environ={})
    yield found
    found.close()


def test_generators_in_turn_leave_their_request_alone(drain: Drain) -> None:
    """They end in another order than they began, and the request runs between."""
    within: list[Activity | None] = []

    @drain.procedure("numbers")
    def numbers(last: int) -> Iterator[int]:
        for number in range(last):
            within.append(current.get())
            yield number

    with request_under_way(drain):
        request = current.get()
        for _ in zip(numbers(1), numbers(3), strict=False):
            assert current.get() is request
        gc.collect()
        assert current.get() is request
        assert names(drain) == []
        drain.core.enter(Mode.RECYCLE)
        with drain.procedure("goes on"):
            pass
    assert [each and each.name for each in within] == ["numbers"] * 2


def test_a_generator_is_sent_and_thrown_what_its_caller_says(drain: Drain) -> None:
    """It receives what the function itself would receive."""
    received: list[Any] = []

    @drain.procedure
    def dialogue() -> Any:
        try:
            received.append((yield 1))
        except KeyError as error:
            received.append(error)
        try:
            yield 2
        except GeneratorExit:
            received.append("closed")
            raise
        return 3

    generator = dialogue()
    assert next(generator) == 1
    assert generator.throw(KeyError("no")) == 2
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == 3
    generator = dialogue()
    next(generator)
    assert generator.send("yes") == 2
    generator.close()
    assert [str(each) for each in received] == ["'no'", "yes", "closed"]
    assert names(drain) == []


def test_asynchronous_generators_are_the_same(drain: Drain) -> None:
    """Also where each step runs in another task."""
    events: list[Any] = []

    @drain.procedure("numbers")
    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(3):
                activity = current.get()
                events.append(activity and activity.name)
                yield number
        except ValueError as error:
            events.append(str(error))
            yield 9
        finally:
            await asyncio.to_thread(events.append, "over")

    async def work() -> None:
        generator: Any = numbers()
        assert await generator.__anext__() == 0
        assert await asyncio.create_task(generator.__anext__()) == 1
        assert current.get() is None
        assert names(drain) == ["numbers"]
        assert await generator.athrow(ValueError("thrown")) == 9
        await generator.aclose()
        assert names(drain) == []
        assert [each async for each in numbers()] == [0, 1, 2]

    asyncio.run(work())
    expected = ["numbers", "numbers", "thrown", "over", *["numbers"] * 3, "over"]
    assert events == expected
    assert names(drain) == []


def _begin_elsewhere(manager: Any) -> Any:
    """Enter a block in a context of its own, and stop in the middle of it."""

    def middle() -> Iterator[None]:
        with manager:
            yield

    generator = middle()
    contextvars.copy_context().run(next, generator)
    return generator


def test_what_is_closed_elsewhere_changes_nothing_there(drain: Drain) -> None:
    """A garbage collection ends it while some request runs."""
    call = StatementCounter(drain, "postgresql").procedure_named("close_month")
    begun = [_begin_elsewhere(drain.procedure("marked")), _begin_elsewhere(call)]
    assert sorted(names(drain)) == ["close_month", "marked"]
    with request_under_way(drain):
        request = current.get()
        begun.clear()
        gc.collect()
        assert names(drain) == []
        assert current.get() is request


def test_what_ends_in_a_copy_of_its_context_goes_back_to_its_request(
    drain: Drain,
) -> None:
    """Frameworks enter and leave blocks in threads of their own."""
    with request_under_way(drain):
        request = current.get()
        procedure = drain.procedure("marked")
        with procedure:
            copied = contextvars.copy_context()
        procedure = drain.procedure("marked")
        procedure.__enter__()
        copied = contextvars.copy_context()
        copied.run(procedure.__exit__, None, None, None)
        assert copied.run(current.get) is request


def test_a_request_that_is_closed_elsewhere_is_finished(drain: Drain) -> None:
    """Its task was abandoned, and it is closed in the context of another one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def begin() -> Any:
        unused: Any = None
        coroutine = drain.asgi(app)({"type": "http", "path": "/"}, unused, unused)
        contextvars.copy_context().run(coroutine.send, None)
        return coroutine

    coroutine = asyncio.run(begin())
    assert drain.counts()["requests"] == 1
    coroutine.close()
    assert drain.counts()["requests"] == 0


def test_what_a_procedure_left_behind_is_still_within_its_request(
    drain: Drain,
) -> None:
    """A task that it started goes on within the request, and not after it."""

    async def work() -> None:
        go = asyncio.Event()

        async def later() -> None:
            await go.wait()
            with drain.procedure("later"):
                pass

        with request_under_way(drain):
            async with drain.procedure("first"):
                tasks = [asyncio.create_task(later())]
                late = contextvars.copy_context()
            drain.core.enter(Mode.RECYCLE)
            go.set()
            await asyncio.gather(*tasks)
        with pytest.raises(Draining):
            late.run(drain.procedure("too late").__enter__)

    asyncio.run(work())


def test_a_forked_child_does_not_finish_what_is_its_parents(drain: Drain) -> None:
    """It has copies of all objects, and a garbage collection of its own."""
    core = drain.core
    procedure = core.begin("parent's", time.monotonic(), None)
    core.enter(Mode.HANDOFF)
    core.reset_after_fork()
    core.finish(procedure, time.monotonic())
    assert drain.counts()["finished"]["procedures"] == 0
    assert not procedure.is_open


def test_open_procedures_end_when_they_are_garbage(drain: Drain) -> None:
    """An asynchronous generator whose loop is closed never runs to its end."""
    call = StatementCounter(drain, "postgresql").procedure_named("close_month")
    open_procedures = OpenProcedures()
    with call:
        call.keep_open(open_procedures)
    assert names(drain) == ["close_month"]
    del open_procedures
    gc.collect()
    assert names(drain) == []
