"""Each driver as people use it: connect, run one statement, close.  All of it counted.

The drivers are in build/servers; `available()` lets this interpreter find them.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import sysconfig
from collections.abc import Callable, Coroutine
from typing import Any

from gapless_drain import Drain

from rig.hosts.host import ROOT
from rig.programs.databases import Database

Run = Callable[..., Any]


def available() -> None:
    """Let this interpreter import the drivers; what it has itself comes first."""
    scheme = {"base": str(ROOT / "build" / "servers")}
    place = sysconfig.get_path("purelib", "venv", scheme)
    if place not in sys.path:
        sys.path.append(place)


def arguments(database: Database) -> dict[str, Any]:
    """Return how PyMySQL and its like are told where to connect."""
    return {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
        "database": database.database,
    }


def _await(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner() as runner:
        return runner.run(work, context=contextvars.copy_context())


def psycopg(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    from gapless_drain.databases.psycopg import counted

    connection = counted(drain, **options).connect(database.url, autocommit=True)
    with connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else None


def psycopg_async(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    import psycopg
    from gapless_drain.databases.psycopg import counted

    async def work() -> Any:
        kind = counted(drain, psycopg.AsyncConnection, **options)
        connection = await kind.connect(database.url, autocommit=True)
        async with connection:
            cursor = await connection.execute(text)
            return await cursor.fetchall() if cursor.description else None

    return _await(work())


def psycopg_pool(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    from gapless_drain.databases.psycopg import counted
    from psycopg_pool import ConnectionPool

    kind = counted(drain, **options)
    with (
        ConnectionPool(database.url, min_size=1, connection_class=kind) as pool,
        pool.connection() as connection,
    ):
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else None


def asyncpg(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    import asyncpg
    from gapless_drain.databases.asyncpg import counted

    async def work() -> Any:
        kind = counted(drain, **options)
        connection = await asyncpg.connect(database.url, connection_class=kind)
        try:
            return await connection.fetch(text)
        finally:
            await connection.close()

    return _await(work())


def asyncpg_pool(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows of a prepared statement, on a connection of a pool."""
    import asyncpg
    from gapless_drain.databases.asyncpg import counted

    async def work() -> Any:
        kind = counted(drain, **options)
        async with (
            asyncpg.create_pool(
                database.url, min_size=1, max_size=1, connection_class=kind
            ) as pool,
            pool.acquire() as connection,
        ):
            statement = await connection.prepare(text)
            return await statement.fetch()

    return _await(work())


def pymysql(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    import pymysql
    from gapless_drain.databases.pymysql import counted

    kind = counted(drain, **options)
    told = arguments(database)
    with (
        pymysql.connect(cursorclass=kind, autocommit=True, **told) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(text)
        return cursor.fetchall()


def mysqlclient(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows."""
    import contextlib

    import MySQLdb
    from gapless_drain.databases.mysqlclient import counted

    kind = counted(drain, **options)
    connection = MySQLdb.connect(
        cursorclass=kind, autocommit=True, **arguments(database)
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
        told = arguments(database)
        told["db"] = told.pop("database")
        pool = await aiomysql.create_pool(
            minsize=1, cursorclass=kind, autocommit=True, **told
        )
        try:
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute(text)
                return await cursor.fetchall()
        finally:
            pool.terminate()
            await pool.wait_closed()

    return _await(work())


def sqlalchemy(name: str) -> Run:
    """Return what runs with SQLAlchemy and a driver."""

    def run(drain: Drain, database: Database, text: str, **options: Any) -> Any:
        import sqlalchemy
        from gapless_drain.databases.sqlalchemy import count

        _, at, place = database.url.partition("://")
        engine = sqlalchemy.create_engine(name + at + place)
        count(drain, engine, **options)
        try:
            with engine.begin() as connection:
                result = connection.exec_driver_sql(text)
                return result.fetchall() if result.returns_rows else None
        finally:
            engine.dispose()

    return run


def sqlalchemy_async(name: str) -> Run:
    """Return what runs with SQLAlchemy under asyncio, and a driver."""

    def run(drain: Drain, database: Database, text: str, **options: Any) -> Any:
        from gapless_drain.databases.sqlalchemy import count
        from sqlalchemy.ext.asyncio import create_async_engine

        async def work() -> Any:
            _, at, place = database.url.partition("://")
            engine = create_async_engine(name + at + place)
            count(drain, engine, **options)
            try:
                async with engine.begin() as connection:
                    result = await connection.exec_driver_sql(text)
                    return result.fetchall() if result.returns_rows else None
            finally:
                await engine.dispose()

        return _await(work())

    return run


def django(drain: Drain, database: Database, text: str, **options: Any) -> Any:
    """Return the rows; Django's connections are those of the thread."""
    from django.conf import settings
    from django.db import connections
    from django.db.backends.signals import connection_created
    from gapless_drain.databases.django import count

    if not settings.configured:
        import django

        settings.configure(DATABASES={"default": {}})
        django.setup()
    engine = "mysql" if database.kind == "mariadb" else "postgresql"
    told = {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": database.database,
        **{n.upper(): v for n, v in arguments(database).items() if n != "database"},
    }
    connections.settings = connections.configure_settings({"default": told})
    connection = connections.create_connection("default")
    connections["default"] = connection
    connection_created.disconnect(dispatch_uid="gapless_drain")
    count(drain, **options)
    try:
        with connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


DRIVERS: dict[str, tuple[str, Run]] = {
    "psycopg": ("postgresql", psycopg),
    "psycopg-async": ("postgresql", psycopg_async),
    "psycopg-pool": ("postgresql", psycopg_pool),
    "asyncpg": ("postgresql", asyncpg),
    "asyncpg-pool": ("postgresql", asyncpg_pool),
    "pymysql": ("mariadb", pymysql),
    "mysqlclient": ("mariadb", mysqlclient),
    "aiomysql": ("mariadb", aiomysql),
    "sqlalchemy-psycopg": ("postgresql", sqlalchemy("postgresql+psycopg")),
    "sqlalchemy-pymysql": ("mariadb", sqlalchemy("mysql+pymysql")),
    "sqlalchemy-mysqlclient": ("mariadb", sqlalchemy("mysql+mysqldb")),
    "sqlalchemy-psycopg-async": (
        "postgresql",
        sqlalchemy_async("postgresql+psycopg"),
    ),
    "sqlalchemy-asyncpg": ("postgresql", sqlalchemy_async("postgresql+asyncpg")),
    "sqlalchemy-aiomysql": ("mariadb", sqlalchemy_async("mysql+aiomysql")),
    "django-postgresql": ("postgresql", django),
    "django-mysqlclient": ("mariadb", django),
}
