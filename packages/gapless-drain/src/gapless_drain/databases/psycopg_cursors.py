"""Cursors of psycopg 3 whose statements are counted, sync and async.

A procedure lasts until the call of `execute` returns; of a server-side cursor until it is
closed or executes something else; of a stream until it is closed or read to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

import psycopg
from psycopg import pq, sql

from gapless_drain.databases.statement_counter import StatementCounter
from gapless_drain.databases.stored_procedure import OpenProcedures, StoredProcedure

PIPELINE = pq.PipelineStatus.ON


def counted_cursor(counter: StatementCounter, cursor: Any) -> Any:
    """Return a class of cursors like *cursor* that counts its procedures."""
    if issubclass(cursor, _Counted):
        return cursor
    is_async = issubclass(cursor, psycopg.AsyncCursor)
    return counter.counted_class(cursor, _AsyncCursor if is_async else _Cursor)


def open_procedures_of(owner: Any) -> OpenProcedures:
    """Return what a connection or a cursor keeps open; it finishes with its owner."""
    try:
        found: OpenProcedures = owner.gapless_open_procedures
    except AttributeError:
        found = owner.gapless_open_procedures = OpenProcedures()
    return found


class _Counted:
    """What sync and async cursors share; a mixin."""

    statement_counter: StatementCounter
    connection: Any

    def _procedure_in(self, query: Any) -> StoredProcedure | None:
        if not isinstance(query, (str, bytes)):
            query = sql.as_string(query, self)
        return self.statement_counter.procedure_in(query)

    def _keep_open(self, procedure: StoredProcedure) -> None:
        """Let a procedure last, if the database goes on although the call has returned."""
        connection = self.connection
        if hasattr(self, "itersize"):  # a server-side cursor
            self._finish_open()
            procedure.keep_open(open_procedures_of(self))
        elif connection.pgconn.pipeline_status == PIPELINE and hasattr(
            connection, "counts_pipelines"
        ):
            procedure.keep_open(open_procedures_of(connection))

    def _finish_open(self) -> None:
        """Finish what a server-side cursor has executed before."""
        found: OpenProcedures | None = getattr(self, "gapless_open_procedures", None)
        if found is not None:
            found.finish()


class _Cursor(_Counted):
    """Counts what a sync cursor executes; a mixin."""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement.  Raises Draining."""
        procedure = self._procedure_in(query)
        if procedure is None:
            result = super().execute(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
            self._finish_open()
            return result
        with procedure:
            result = super().execute(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
            self._keep_open(procedure)
            return result

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """Execute a statement again and again.  Raises Draining."""
        procedure = self._procedure_in(query)
        if procedure is None:
            super().executemany(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
            return
        with procedure:
            super().executemany(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
            self._keep_open(procedure)

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Execute a statement, and return its rows as they come.  Raises Draining."""
        rows: Iterator[Any] = super().stream(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
        procedure = self._procedure_in(query)
        return rows if procedure is None else _rows(rows, procedure)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the block of a COPY.  Raises Draining when the block is entered."""
        block = super().copy(statement, *args, **kwargs)  # type: ignore[misc]  # of the driver
        procedure = self._procedure_in(statement)
        return block if procedure is None else _copy(block, procedure)

    def close(self) -> None:
        """Close it."""
        try:
            super().close()  # type: ignore[misc]  # of the driver
        finally:
            self._finish_open()


class _AsyncCursor(_Counted):
    """Counts what a cursor under asyncio executes; a mixin."""

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement.  Raises Draining."""
        procedure = self._procedure_in(query)
        if procedure is None:
            result = await super().execute(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
            self._finish_open()
            return result
        with procedure:
            result = await super().execute(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
            self._keep_open(procedure)
            return result

    async def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """Execute a statement again and again.  Raises Draining."""
        procedure = self._procedure_in(query)
        if procedure is None:
            await super().executemany(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
            return
        with procedure:
            await super().executemany(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
            self._keep_open(procedure)

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Execute a statement, and return its rows as they come.  Raises Draining."""
        rows: AsyncIterator[Any] = super().stream(query, *args, **kwargs)  # type: ignore[misc]  # of the driver
        procedure = self._procedure_in(query)
        return rows if procedure is None else _async_rows(rows, procedure)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the block of a COPY.  Raises Draining when the block is entered."""
        block = super().copy(statement, *args, **kwargs)  # type: ignore[misc]  # of the driver
        procedure = self._procedure_in(statement)
        return block if procedure is None else _async_copy(block, procedure)

    async def close(self) -> None:
        """Close it."""
        try:
            await super().close()  # type: ignore[misc]  # of the driver
        finally:
            self._finish_open()


def _rows(rows: Iterator[Any], procedure: StoredProcedure) -> Iterator[Any]:
    with procedure.open_during_block():
        yield from rows


async def _async_rows(
    rows: AsyncIterator[Any], procedure: StoredProcedure
) -> AsyncIterator[Any]:
    with procedure.open_during_block():
        async for row in rows:
            yield row


@contextmanager
def _copy(
    block: AbstractContextManager[Any], procedure: StoredProcedure
) -> Iterator[Any]:
    with procedure.open_during_block(), block as copy:
        yield copy


@asynccontextmanager
async def _async_copy(
    block: AbstractAsyncContextManager[Any], procedure: StoredProcedure
) -> AsyncIterator[Any]:
    with procedure.open_during_block():
        async with block as copy:
            yield copy
