"""Connections that SQLAlchemy or Django have opened: their drivers' own hooks."""

from __future__ import annotations

import importlib
from typing import Any

from gapless_drain.databases.counting import Counting

DRIVERS = {"psycopg": "psycopg", "pymysql": "pymysql", "MySQLdb": "mysqlclient"}
"""Those whose connections can be told what makes their cursors."""


def count_cursors(counting: Counting, connection: Any) -> None:
    """Let a connection of a driver that we know make cursors that count.

    What is called past SQLAlchemy or Django (`callproc`, cursors of the driver) counts so.
    """
    for base in type(connection).__mro__:
        ours = DRIVERS.get(base.__module__.partition(".")[0])
        if ours is not None:
            module = importlib.import_module(f"gapless_drain.databases.{ours}")
            module.count_cursors(counting, connection)
            return
