"""PyMySQL, mysqlclient and aiomysql, which run one counted statement."""

from __future__ import annotations

import contextlib
from typing import Any

from gapless_drain import Drain

from rig.databases.database import Database
from rig.drivers import coroutines


def pymysql(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    import pymysql
    from gapless_drain.databases.pymysql import counted

    kind = counted(drain, **options)
    arguments = database.connect_arguments()
    with (
        pymysql.connect(cursorclass=kind, autocommit=True, **arguments) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(text)
        return cursor.fetchall()


def mysqlclient(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    import MySQLdb
    from gapless_drain.databases.mysqlclient import counted

    kind = counted(drain, **options)
    connection = MySQLdb.connect(
        cursorclass=kind, autocommit=True, **database.connect_arguments()
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def aiomysql(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    import aiomysql
    from gapless_drain.databases.aiomysql import counted

    async def work() -> Any:
        kind = counted(drain, **options)
        arguments = database.connect_arguments()
        arguments["db"] = arguments.pop("database")
        pool = await aiomysql.create_pool(
            minsize=1, cursorclass=kind, autocommit=True, **arguments
        )
        try:
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute(text)
                return await cursor.fetchall()
        finally:
            pool.terminate()
            await pool.wait_closed()

    return coroutines.run(work())
