"""psycopg and asyncpg, which run one counted statement."""

from __future__ import annotations

from typing import Any

from gapless_drain import Drain

from rig.databases.database import Database
from rig.drivers import coroutines


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

    return coroutines.run(work())


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

    return coroutines.run(work())


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

    return coroutines.run(work())
