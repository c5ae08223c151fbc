"""SQLAlchemy 2: engines whose statements are counted, sync and async.

from gapless_drain.databases.sqlalchemy import count

count(drain, engine)

Its `do_execute` events are called in the place of the driver's cursor, whichever driver it
is.  For calls past SQLAlchemy the driver's own cursors count too, where they can be changed
(psycopg, PyMySQL, mysqlclient).  A call that passes both is counted once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from gapless_drain.databases import open_connections
from gapless_drain.databases.sql.tokens import Dialect
from gapless_drain.databases.statement_counter import StatementCounter
from gapless_drain.databases.stored_procedure import OpenProcedures, StoredProcedure

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

INFO_KEY = "gapless_drain"
"""Where the `OpenProcedures` of a connection are, in its `info`."""


def count(
    drain: Drain,
    engine: Any,
    *,
    functions: Collection[str] = (),
    every_statement: bool = False,
) -> None:
    """Count the procedures that an Engine or an AsyncEngine calls, from now on."""
    engine = getattr(engine, "sync_engine", engine)
    dialect = engine.dialect
    ours: Dialect = "mysql" if dialect.name in ("mysql", "mariadb") else "postgresql"
    counter = StatementCounter(drain, ours, functions, every_statement=every_statement)

    def execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        return run(dialect.do_execute, cursor, statement, parameters, context)

    def executemany(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        return run(dialect.do_executemany, cursor, statement, parameters, context)

    def execute_no_params(cursor: Any, statement: str, context: Any) -> bool:
        return run(dialect.do_execute_no_params, cursor, statement, context)

    def run(call: Callable[..., None], cursor: Any, statement: str, *rest: Any) -> bool:
        procedure = counter.procedure_in(statement)
        if procedure is None:
            return False  # SQLAlchemy executes it itself
        context = rest[-1]
        with procedure:
            call(cursor, statement, *rest)
            if _goes_on(procedure, cursor, context):
                _keep_open(procedure, context)
        return True

    def connected(connection: Any, _: Any) -> None:
        connection = getattr(connection, "driver_connection", connection)
        open_connections.count_cursors(counter, connection)

    event.listen(engine, "do_execute", execute)
    event.listen(engine, "do_executemany", executemany)
    event.listen(engine, "do_execute_no_params", execute_no_params)
    event.listen(engine, "connect", connected, insert=True)
    for name in ("checkin", "invalidate", "close"):
        event.listen(engine, name, _finish_open)


def _goes_on(procedure: StoredProcedure, cursor: Any, context: Any) -> bool:
    """Return whether the database goes on although the call has returned."""
    is_streamed = bool(getattr(context, "_is_server_side", False))
    return is_streamed or (
        procedure.may_have_more_results
        and context.dialect.name in ("mysql", "mariadb")
        and (procedure.has_several_statements or cursor.description is not None)
    )


def _keep_open(procedure: StoredProcedure, context: Any) -> None:
    """Let it last until its connection goes back to the pool."""
    info = context.root_connection.connection.info
    procedure.keep_open(info.setdefault(INFO_KEY, OpenProcedures()))


def _finish_open(_: Any, record: Any, *__: Any) -> None:
    open_procedures: OpenProcedures | None = record.info.pop(INFO_KEY, None)
    if open_procedures is not None:
        open_procedures.finish()
