"""Connections that SQLAlchemy or Django have opened: their drivers' cursors count too."""

from __future__ import annotations

import importlib
from typing import Any

from gapless_drain.databases.statement_counter import StatementCounter

MODULES = {"psycopg": "psycopg", "pymysql": "pymysql", "MySQLdb": "mysqlclient"}
"""Our modules, by the driver's package: drivers whose class of cursors can be changed."""


def count_cursors(counter: StatementCounter, connection: Any) -> None:
    """Make a connection of one of these drivers return cursors that count.

    So what is called past SQLAlchemy or Django (`callproc`, cursors of the driver) counts.
    """
    for base in type(connection).__mro__:
        name = MODULES.get(base.__module__.partition(".")[0])
        if name is not None:
            module = importlib.import_module(f"gapless_drain.databases.{name}")
            module.count_cursors(counter, connection)
            return
