"""Django: connections whose statements are counted.

from gapless_drain.databases.django import count

count(drain)  # where the application is made: wsgi.py or asgi.py

The cursors of psycopg, mysqlclient and PyMySQL count themselves, `callproc` too.  Of other
drivers what goes through Django's execution wrappers counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.signals import connection_created

from gapless_drain.databases import opened
from gapless_drain.databases.counting import Counting

if TYPE_CHECKING:
    from gapless_drain.drain import Drain


def count(
    drain: Drain, *, functions: Collection[str] = (), every_statement: bool = False
) -> None:
    """Count the procedures that all connections of this process call, from now on."""
    countings = {
        dialect: Counting(drain, dialect, functions, every_statement=every_statement)
        for dialect in ("mysql", "postgresql")
    }
    wrappers = {dialect: _wrapper(counting) for dialect, counting in countings.items()}

    def created(connection: Any, **_: Any) -> None:
        dialect = "mysql" if connection.vendor == "mysql" else "postgresql"
        wrapper = wrappers[dialect]
        if wrapper not in connection.execute_wrappers:
            # The first: a block of `execute_wrapper` takes away the last when it ends.
            connection.execute_wrappers.insert(0, wrapper)
        opened.count_cursors(countings[dialect], connection.connection)

    connection_created.connect(created, weak=False, dispatch_uid="gapless_drain")
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            created(connection)


def _wrapper(counting: Counting) -> Callable[..., Any]:
    def wrapper(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if hasattr(context["cursor"].cursor, "counting"):
            return execute(
                sql, params, many, context
            )  # the driver's counts, and longer
        if not isinstance(sql, (str, bytes)):  # composed by the driver
            sql = sql.as_string(context["cursor"].cursor)
        calling = counting.calling(sql)
        if calling is None:
            return execute(sql, params, many, context)
        with calling:
            return execute(sql, params, many, context)

    return wrapper
