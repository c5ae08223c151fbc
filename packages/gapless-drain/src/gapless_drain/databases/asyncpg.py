"""asyncpg: connections whose statements are counted.

from gapless_drain.databases.asyncpg import counted

pool = await asyncpg.create_pool(url, connection_class=counted(drain))

A procedure lasts until the call returns.  In a cursor it lasts until the cursor is read to
its end, or is garbage.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Collection, Generator
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from gapless_drain.databases.statement_counter import StatementCounter
from gapless_drain.databases.stored_procedure import OpenProcedures, StoredProcedure

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

CONNECTION_METHODS = (
    *("execute", "executemany", "fetch", "fetchval", "fetchrow", "fetchmany"),
    "copy_from_query",
)
STATEMENT_METHODS = ("fetch", "fetchval", "fetchrow", "fetchmany", "executemany")


def counted(
    drain: Drain,
    connection: Any = asyncpg.Connection,
    *,
    functions: Collection[str] = (),
    every_statement: bool = False,
) -> Any:
    """Return a class of connections like *connection* that counts its procedures."""
    counter = StatementCounter(
        drain, "postgresql", functions, every_statement=every_statement
    )
    # Connections and statements have slots, so their classes hold what they need.
    own = {"__slots__": (), "statement_counter": counter}
    statement_class = type("CountedStatement", (_Statement,), own)
    methods = {
        name: _counted(getattr(connection, name))
        for name in CONNECTION_METHODS
        if hasattr(connection, name)
    }
    attributes = {"statement_counter": counter, "statement_class": statement_class}
    bases = (_Connection, connection)
    return type(f"Counted{connection.__name__}", bases, {**methods, **attributes})


def _counted(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that counts the statement which is its first argument."""

    @functools.wraps(method)
    async def call(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        procedure = self.statement_counter.procedure_in(query)
        if procedure is None:
            return await method(self, query, *args, **kwargs)
        with procedure:
            return await method(self, query, *args, **kwargs)

    return call


def _counted_prepared(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that counts the statement which was prepared."""

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        procedure = self.statement_counter.procedure_in(self.get_query())
        if procedure is None:
            return await method(self, *args, **kwargs)
        with procedure:
            return await method(self, *args, **kwargs)

    return call


class _Connection:
    """What else a connection does to count; a mixin."""

    __slots__ = ()
    statement_counter: StatementCounter
    statement_class: type

    def cursor(self, query: str, *args: Any, **kwargs: Any) -> Any:
        """Return a factory of cursors; to make one raises Draining."""
        factory = super().cursor(query, *args, **kwargs)  # type: ignore[misc]  # of asyncpg
        procedure = self.statement_counter.procedure_in(query)
        return factory if procedure is None else _CursorFactory(factory, procedure)

    async def prepare(self, *args: Any, **kwargs: Any) -> Any:
        """Prepare a statement that counts when it is executed."""
        statement = await super().prepare(*args, **kwargs)  # type: ignore[misc]  # of asyncpg
        statement.__class__ = self.statement_class
        return statement

    async def reset(self, *args: Any, **kwargs: Any) -> None:
        """Reset it, as a pool does: that is never refused."""
        with self.statement_counter.uncounted():
            await super().reset(*args, **kwargs)  # type: ignore[misc]  # of asyncpg


class _Statement(PreparedStatement):
    """A prepared statement that counts."""

    __slots__ = ()
    statement_counter: StatementCounter

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a factory of cursors; to make one raises Draining."""
        factory = super().cursor(*args, **kwargs)
        procedure = self.statement_counter.procedure_in(self.get_query())
        return factory if procedure is None else _CursorFactory(factory, procedure)


for _name in STATEMENT_METHODS:
    if hasattr(PreparedStatement, _name):
        setattr(_Statement, _name, _counted_prepared(getattr(PreparedStatement, _name)))


class _CursorFactory:
    """Wraps asyncpg's CursorFactory: `async for`, or `await` for a cursor."""

    def __init__(self, factory: Any, procedure: StoredProcedure) -> None:
        self._factory, self._procedure = factory, procedure

    async def __aiter__(self) -> AsyncIterator[Any]:
        with self._procedure.open_during_block():
            async for row in self._factory:
                yield row

    def __await__(self) -> Generator[Any, None, Any]:
        return self._make().__await__()

    async def _make(self) -> Any:
        with self._procedure:
            cursor = _Cursor(await self._factory)
            self._procedure.keep_open(cursor.open_procedures)
            return cursor


class _Cursor:
    """Wraps a cursor, which has no close: its procedure ends with its last row."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.open_procedures = OpenProcedures()

    async def fetch(self, n: int, **kwargs: Any) -> Any:
        """Return so many rows."""
        rows = await self._or_finish(self._cursor.fetch(n, **kwargs))
        if len(rows) < n:
            self.open_procedures.finish()
        return rows

    async def fetchrow(self, **kwargs: Any) -> Any:
        """Return the next row."""
        row = await self._or_finish(self._cursor.fetchrow(**kwargs))
        if row is None:
            self.open_procedures.finish()
        return row

    async def forward(self, n: int, **kwargs: Any) -> int:
        """Skip rows."""
        skipped: int = await self._or_finish(self._cursor.forward(n, **kwargs))
        if skipped < n:
            self.open_procedures.finish()
        return skipped

    async def _or_finish(self, fetching: Any) -> Any:
        """Wait for rows; finish the procedure if that fails."""
        try:
            return await fetching
        except BaseException:
            self.open_procedures.finish()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
