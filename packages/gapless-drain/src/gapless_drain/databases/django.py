"""Django: connections whose statements are counted.

from gapless_drain.databases.django import count

count(drain)  # where the application is made: wsgi.py or asgi.py

The cursors of psycopg, mysqlclient and PyMySQL count by themselves, `callproc` too.  With
other drivers, the statements that pass Django's execution wrappers count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.signals import connection_created

from gapless_drain.databases import open_connections
from gapless_drain.databases.statement_counter import StatementCounter

if TYPE_CHECKING:
    from gapless_drain.drain import Drain


def count(
    drain: Drain, *, functions: Collection[str] = (), every_statement: bool = False
) -> None:
    """Count the procedures that all connections of this process call, from now on."""
    counters = {
        dialect: StatementCounter(
            drain, dialect, functions, every_statement=every_statement
        )
        for dialect in ("mysql", "postgresql")
    }
    wrappers = {dialect: _wrapper(counter) for dialect, counter in counters.items()}

    def created(connection: Any, **_: Any) -> None:
        dialect = "mysql" if connection.vendor == "mysql" else "postgresql"
        wrapper = wrappers[dialect]
        if wrapper not in connection.execute_wrappers:
            # The first: a block of `execute_wrapper` removes the last when it ends.
            connection.execute_wrappers.insert(0, wrapper)
        open_connections.count_cursors(counters[dialect], connection.connection)

    connection_created.connect(created, weak=False, dispatch_uid="gapless_drain")
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            created(connection)


def _wrapper(counter: StatementCounter) -> Callable[..., Any]:
    def wrapper(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        cursor = context["cursor"].cursor
        if hasattr(cursor, "statement_counter"):
            # The driver's cursor counts, and knows how long the procedure lasts.
            return execute(sql, params, many, context)
        if not isinstance(sql, (str, bytes)):  # composed by the driver
            sql = sql.as_string(cursor)
        procedure = counter.procedure_in(sql)
        if procedure is None:
            return execute(sql, params, many, context)
        with procedure:
            return execute(sql, params, many, context)

    return wrapper
