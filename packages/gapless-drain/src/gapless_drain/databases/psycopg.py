"""psycopg 3: connections whose statements are counted, sync and async.

from gapless_drain.databases.psycopg import counted

Connection = counted(drain)  # or counted(drain, psycopg.AsyncConnection)
pool = ConnectionPool(url, connection_class=Connection)

A procedure lasts until the call of `execute` returns; in a pipeline until the block of the
pipeline ends; of a server-side cursor until it is closed or executes something else; of a
stream until it is closed or read to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq, sql

from gapless_drain.databases.counting import Calling, Counting, Held

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

ON = pq.PipelineStatus.ON


def counted(
    drain: Drain,
    connection: Any = psycopg.Connection,
    *,
    functions: Collection[str] = (),
    every_statement: bool = False,
) -> Any:
    """Return a class of connections like *connection* that counts its procedures."""
    counting = Counting(drain, "postgresql", functions, every_statement=every_statement)
    is_async = issubclass(connection, psycopg.AsyncConnection)
    pipelines = _AsyncPipelines if is_async else _Pipelines

    class CountedConnection(pipelines, connection):  # type: ignore[misc, valid-type]  # which one is known at run time
        """Makes cursors that count, of whatever class it is told."""

        @property
        def cursor_factory(self) -> Any:
            """What makes cursors."""
            return self._counted_factory

        @cursor_factory.setter
        def cursor_factory(self, factory: Any) -> None:
            self._counted_factory = counted_cursor(counting, factory)

        @property
        def server_cursor_factory(self) -> Any:
            """What makes cursors that have a name."""
            return self._counted_server_factory

        @server_cursor_factory.setter
        def server_cursor_factory(self, factory: Any) -> None:
            self._counted_server_factory = counted_cursor(counting, factory)

    CountedConnection.__name__ = f"Counted{connection.__name__}"
    return CountedConnection


def count_cursors(counting: Counting, connection: Any) -> None:
    """Let a connection that somebody else has opened make cursors that count."""
    connection.cursor_factory = counted_cursor(counting, connection.cursor_factory)
    named = connection.server_cursor_factory
    connection.server_cursor_factory = counted_cursor(counting, named)


def counted_cursor(counting: Counting, factory: Any) -> Any:
    """Return a class of cursors like *factory* that counts."""
    if issubclass(factory, _Counted):
        return factory
    found = counting.classes.get(factory)
    if found is None:
        is_async = issubclass(factory, psycopg.AsyncCursor)
        mixin: type[_Counted] = _AsyncCursor if is_async else _Cursor
        named = {"counting": counting, "__doc__": factory.__doc__}
        found = type(f"Counted{factory.__name__}", (mixin, factory), named)
        counting.classes[factory] = found
    return found


class _Pipelines:
    """A connection whose pipelined procedures last until the pipeline ends."""

    counts_pipelines = True

    def pipeline(self) -> AbstractContextManager[Any]:
        """Return what the pipeline is within."""
        make: Callable[[], AbstractContextManager[Any]] = super().pipeline  # type: ignore[misc]  # of the connection
        return _until_the_end(make(), _held_by(self))


class _AsyncPipelines:
    """The same under asyncio."""

    counts_pipelines = True

    def pipeline(self) -> AbstractAsyncContextManager[Any]:
        """Return what the pipeline is within."""
        make: Callable[[], AbstractAsyncContextManager[Any]] = super().pipeline  # type: ignore[misc]  # of the connection
        return _until_the_async_end(make(), _held_by(self))


@contextmanager
def _until_the_end(inner: AbstractContextManager[Any], held: Held) -> Iterator[Any]:
    try:
        with inner as pipeline:
            yield pipeline
    finally:
        held.let_go()


@asynccontextmanager
async def _until_the_async_end(
    inner: AbstractAsyncContextManager[Any], held: Held
) -> AsyncIterator[Any]:
    try:
        async with inner as pipeline:
            yield pipeline
    finally:
        held.let_go()


def _held_by(owner: Any) -> Held:
    """Return what a connection or a cursor holds; it ends with it at the latest."""
    try:
        found: Held = owner.gapless_held
    except AttributeError:
        found = owner.gapless_held = Held()
    return found


class _Counted:
    """What cursors have in common."""

    counting: Counting
    connection: Any

    def _calling(self, query: Any) -> Calling | None:
        if not isinstance(query, (str, bytes)):
            query = sql.as_string(query, self)
        return self.counting.calling(query)

    def _began(self, calling: Calling) -> None:
        """Note what goes on in the database although the call returned."""
        connection = self.connection
        if hasattr(self, "itersize"):  # a cursor of the database
            self._ended()  # what it was executed for before
            calling.last(_held_by(self))
        elif connection.pgconn.pipeline_status == ON and hasattr(
            connection, "counts_pipelines"
        ):
            calling.last(_held_by(connection))

    def _ended(self) -> None:
        held: Held | None = getattr(self, "gapless_held", None)
        if held is not None:
            held.let_go()


class _Cursor(_Counted):
    """Counts what is executed; any cursor of psycopg follows."""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement.  Raises Draining."""
        calling = self._calling(query)
        if calling is None:
            done = super().execute(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
            self._ended()  # what a cursor of the database was executed for before
            return done
        with calling:
            done = super().execute(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
            self._began(calling)
            return done

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """Execute a statement again and again.  Raises Draining."""
        calling = self._calling(query)
        if calling is None:
            super().executemany(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
            return
        with calling:
            super().executemany(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
            self._began(calling)

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Execute a statement, and return its rows as they come.  Raises Draining."""
        rows: Iterator[Any] = super().stream(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
        calling = self._calling(query)
        return rows if calling is None else _rows(rows, calling)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what a COPY is within.  Raises Draining when it is entered."""
        inner = super().copy(statement, *args, **kwargs)  # type: ignore[misc]  # of the cursor
        calling = self._calling(statement)
        return inner if calling is None else _copy(inner, calling)

    def close(self) -> None:
        """Close it."""
        try:
            super().close()  # type: ignore[misc]  # of the cursor
        finally:
            self._ended()


class _AsyncCursor(_Counted):
    """The same under asyncio."""

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement.  Raises Draining."""
        calling = self._calling(query)
        if calling is None:
            done = await super().execute(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
            self._ended()  # what a cursor of the database was executed for before
            return done
        with calling:
            done = await super().execute(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
            self._began(calling)
            return done

    async def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """Execute a statement again and again.  Raises Draining."""
        calling = self._calling(query)
        if calling is None:
            await super().executemany(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
            return
        with calling:
            await super().executemany(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
            self._began(calling)

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Execute a statement, and return its rows as they come.  Raises Draining."""
        rows: AsyncIterator[Any] = super().stream(query, *args, **kwargs)  # type: ignore[misc]  # of the cursor
        calling = self._calling(query)
        return rows if calling is None else _async_rows(rows, calling)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what a COPY is within.  Raises Draining when it is entered."""
        inner = super().copy(statement, *args, **kwargs)  # type: ignore[misc]  # of the cursor
        calling = self._calling(statement)
        return inner if calling is None else _async_copy(inner, calling)

    async def close(self) -> None:
        """Close it."""
        try:
            await super().close()  # type: ignore[misc]  # of the cursor
        finally:
            self._ended()


def _rows(rows: Iterator[Any], calling: Calling) -> Iterator[Any]:
    with calling.lasting():
        yield from rows


async def _async_rows(rows: AsyncIterator[Any], calling: Calling) -> AsyncIterator[Any]:
    with calling.lasting():
        async for row in rows:
            yield row


@contextmanager
def _copy(inner: AbstractContextManager[Any], calling: Calling) -> Iterator[Any]:
    with calling.lasting(), inner as copy:
        yield copy


@asynccontextmanager
async def _async_copy(
    inner: AbstractAsyncContextManager[Any], calling: Calling
) -> AsyncIterator[Any]:
    with calling.lasting():
        async with inner as copy:
            yield copy
