"""asyncpg: connections whose statements are counted.

from gapless_drain.databases.asyncpg import counted

pool = await asyncpg.create_pool(url, connection_class=counted(drain))

A procedure lasts until the call returns; in a cursor until it is read to its end, or gone.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Collection, Generator
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from gapless_drain.databases.counting import Calling, Counting, Held

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

OF_CONNECTIONS = (
    *("execute", "executemany", "fetch", "fetchval", "fetchrow", "fetchmany"),
    "copy_from_query",
)
OF_STATEMENTS = ("fetch", "fetchval", "fetchrow", "fetchmany", "executemany")


def counted(
    drain: Drain,
    connection: Any = asyncpg.Connection,
    *,
    functions: Collection[str] = (),
    every_statement: bool = False,
) -> Any:
    """Return a class of connections like *connection* that counts its procedures."""
    counting = Counting(drain, "postgresql", functions, every_statement=every_statement)
    # Connections and statements have slots: what they need is their class's.
    statement = type(
        "CountedStatement", (_Statement,), {"__slots__": (), "counting": counting}
    )
    methods = {
        name: _counted(getattr(connection, name))
        for name in OF_CONNECTIONS
        if hasattr(connection, name)
    }
    own = {"counting": counting, "statement_class": statement}
    bases = (_Connection, connection)
    return type(f"Counted{connection.__name__}", bases, {**methods, **own})


def _counted(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that counts the statement which is its first argument."""

    @functools.wraps(method)
    async def call(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        calling = self.counting.calling(query)
        if calling is None:
            return await method(self, query, *args, **kwargs)
        with calling:
            return await method(self, query, *args, **kwargs)

    return call


def _counted_again(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that counts the statement which was prepared."""

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        calling = self.counting.calling(self.get_query())
        if calling is None:
            return await method(self, *args, **kwargs)
        with calling:
            return await method(self, *args, **kwargs)

    return call


class _Connection:
    """What a connection does beyond executing."""

    __slots__ = ()
    counting: Counting
    statement_class: type

    def cursor(self, query: str, *args: Any, **kwargs: Any) -> Any:
        """Return what makes cursors, which raise Draining."""
        cursor = super().cursor(query, *args, **kwargs)  # type: ignore[misc]  # of asyncpg
        calling = self.counting.calling(query)
        return cursor if calling is None else _Cursors(cursor, calling)

    async def prepare(self, *args: Any, **kwargs: Any) -> Any:
        """Prepare a statement that counts when it is executed."""
        statement = await super().prepare(*args, **kwargs)  # type: ignore[misc]  # of asyncpg
        statement.__class__ = self.statement_class
        return statement

    async def reset(self, *args: Any, **kwargs: Any) -> None:
        """Make it as new, as a pool does: that is never refused."""
        with self.counting.unseen():
            await super().reset(*args, **kwargs)  # type: ignore[misc]  # of asyncpg


class _Statement(PreparedStatement):
    """A prepared statement that counts."""

    __slots__ = ()
    counting: Counting

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return what makes cursors, which raise Draining."""
        cursor = super().cursor(*args, **kwargs)
        calling = self.counting.calling(self.get_query())
        return cursor if calling is None else _Cursors(cursor, calling)


for _name in OF_STATEMENTS:
    if hasattr(PreparedStatement, _name):
        setattr(_Statement, _name, _counted_again(getattr(PreparedStatement, _name)))


class _Cursors:
    """Stands for asyncpg's CursorFactory: `async for`, or `await` for a cursor."""

    def __init__(self, factory: Any, calling: Calling) -> None:
        self._factory, self._calling = factory, calling

    async def __aiter__(self) -> AsyncIterator[Any]:
        with self._calling.lasting():
            async for row in self._factory:
                yield row

    def __await__(self) -> Generator[Any, None, Any]:
        return self._make().__await__()

    async def _make(self) -> Any:
        with self._calling as calling:
            cursor = _Cursor(await self._factory)
            calling.last(cursor.held)
            return cursor


class _Cursor:
    """Stands for a cursor, which has no close: its procedure ends with its last row."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.held = Held()

    async def fetch(self, n: int, **kwargs: Any) -> Any:
        """Return so many rows."""
        rows = await self._or_end(self._cursor.fetch(n, **kwargs))
        if len(rows) < n:
            self.held.let_go()
        return rows

    async def fetchrow(self, **kwargs: Any) -> Any:
        """Return the next row."""
        row = await self._or_end(self._cursor.fetchrow(**kwargs))
        if row is None:
            self.held.let_go()
        return row

    async def forward(self, n: int, **kwargs: Any) -> int:
        """Skip rows."""
        skipped: int = await self._or_end(self._cursor.forward(n, **kwargs))
        if skipped < n:
            self.held.let_go()
        return skipped

    async def _or_end(self, fetching: Any) -> Any:
        try:
            return await fetching
        except BaseException:
            self.held.let_go()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
