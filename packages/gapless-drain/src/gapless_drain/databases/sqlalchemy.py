"""SQLAlchemy 2: engines whose statements are counted, sync and async.

from gapless_drain.databases.sqlalchemy import count

count(drain, engine)

Its events `do_execute` are around the call of the driver's cursor, whichever it is.  The
driver's own cursors count too where it has a hook (psycopg, PyMySQL, mysqlclient), for what
is called past SQLAlchemy; both together count once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from gapless_drain.databases import opened
from gapless_drain.databases.counting import Calling, Counting, Held
from gapless_drain.databases.tokens import Dialect

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

HELD = "gapless_drain"


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
    counting = Counting(drain, ours, functions, every_statement=every_statement)

    def execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        return run(dialect.do_execute, cursor, statement, parameters, context)

    def executemany(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        return run(dialect.do_executemany, cursor, statement, parameters, context)

    def execute_plainly(cursor: Any, statement: str, context: Any) -> bool:
        return run(dialect.do_execute_no_params, cursor, statement, context)

    def run(call: Callable[..., None], cursor: Any, statement: str, *rest: Any) -> bool:
        calling = counting.calling(statement)
        if calling is None:
            return False  # SQLAlchemy goes on by itself
        with calling:
            call(cursor, statement, *rest)
            if _goes_on(calling, cursor, rest[-1]):
                _keep(calling, rest[-1])
        return True

    def connected(connection: Any, _: Any) -> None:
        opened.count_cursors(
            counting, getattr(connection, "driver_connection", connection)
        )

    event.listen(engine, "do_execute", execute)
    event.listen(engine, "do_executemany", executemany)
    event.listen(engine, "do_execute_no_params", execute_plainly)
    event.listen(engine, "connect", connected, insert=True)
    for name in ("checkin", "invalidate", "close"):
        event.listen(engine, name, _let_go)


def _goes_on(calling: Calling, cursor: Any, context: Any) -> bool:
    """Tell whether the database is not done although the call has returned."""
    is_streamed = bool(getattr(context, "_is_server_side", False))
    return is_streamed or (
        calling.is_call
        and context.dialect.name in ("mysql", "mariadb")
        and (calling.is_several or cursor.description is not None)
    )


def _keep(calling: Calling, context: Any) -> None:
    """Let it last until its connection goes back to the pool."""
    about = context.root_connection.connection.info
    calling.last(about.setdefault(HELD, Held()))


def _let_go(_: Any, record: Any, *__: Any) -> None:
    held: Held | None = record.info.pop(HELD, None)
    if held is not None:
        held.let_go()
