"""psycopg 3: connections whose statements are counted, sync and async.

from gapless_drain.databases.psycopg import counted

Connection = counted(drain)  # or counted(drain, psycopg.AsyncConnection)
pool = ConnectionPool(url, connection_class=Connection)

A procedure in a pipeline lasts until the block of the pipeline ends; elsewhere see
`psycopg_cursors`.
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

from gapless_drain.databases.psycopg_cursors import counted_cursor, open_procedures_of
from gapless_drain.databases.statement_counter import StatementCounter
from gapless_drain.databases.stored_procedure import OpenProcedures

if TYPE_CHECKING:
    from gapless_drain.drain import Drain


def counted(
    drain: Drain,
    connection: Any = psycopg.Connection,
    *,
    functions: Collection[str] = (),
    every_statement: bool = False,
) -> Any:
    """Return a class of connections like *connection* that counts its procedures."""
    counter = StatementCounter(
        drain, "postgresql", functions, every_statement=every_statement
    )
    is_async = issubclass(connection, psycopg.AsyncConnection)
    pipelines = _AsyncPipelines if is_async else _Pipelines

    class CountedConnection(pipelines, connection):  # type: ignore[misc, valid-type]  # which one is known at run time
        """Makes cursors that count, whatever class the app sets for them."""

        @property
        def cursor_factory(self) -> Any:
            """The class of its cursors."""
            return self._counted_factory

        @cursor_factory.setter
        def cursor_factory(self, factory: Any) -> None:
            self._counted_factory = counted_cursor(counter, factory)

        @property
        def server_cursor_factory(self) -> Any:
            """The class of its server-side cursors, which have a name."""
            return self._counted_server_factory

        @server_cursor_factory.setter
        def server_cursor_factory(self, factory: Any) -> None:
            self._counted_server_factory = counted_cursor(counter, factory)

    CountedConnection.__name__ = f"Counted{connection.__name__}"
    return CountedConnection


def count_cursors(counter: StatementCounter, connection: Any) -> None:
    """Make a connection that is open already return cursors that count."""
    connection.cursor_factory = counted_cursor(counter, connection.cursor_factory)
    named = connection.server_cursor_factory
    connection.server_cursor_factory = counted_cursor(counter, named)


class _Pipelines:
    """Lets the procedures of a pipeline last until its block ends; a mixin."""

    counts_pipelines = True

    def pipeline(self) -> AbstractContextManager[Any]:
        """Return the block of a pipeline."""
        make: Callable[[], AbstractContextManager[Any]] = super().pipeline  # type: ignore[misc]  # of the connection
        return _finish_after(make(), open_procedures_of(self))


class _AsyncPipelines:
    """The same under asyncio."""

    counts_pipelines = True

    def pipeline(self) -> AbstractAsyncContextManager[Any]:
        """Return the block of a pipeline."""
        make: Callable[[], AbstractAsyncContextManager[Any]] = super().pipeline  # type: ignore[misc]  # of the connection
        return _finish_after_async(make(), open_procedures_of(self))


@contextmanager
def _finish_after(
    block: AbstractContextManager[Any], open_procedures: OpenProcedures
) -> Iterator[Any]:
    try:
        with block as pipeline:
            yield pipeline
    finally:
        open_procedures.finish()


@asynccontextmanager
async def _finish_after_async(
    block: AbstractAsyncContextManager[Any], open_procedures: OpenProcedures
) -> AsyncIterator[Any]:
    try:
        async with block as pipeline:
            yield pipeline
    finally:
        open_procedures.finish()
