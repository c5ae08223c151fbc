"""What asyncpg does besides `execute`."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from gapless_drain import Drain, Draining, Mode

from rig.databases import procedures
from rig.databases.database import Database
from rig.databases.statements import names, request_under_way

SERIES = "SELECT generate_series(1, 100)"


@pytest.fixture
def database(databases: dict[str, Database]) -> Database:
    """Return PostgreSQL."""
    return databases["postgresql"]


@pytest.fixture
def kind(drain: Drain) -> Any:
    """Return a class of connections that count."""
    from gapless_drain.databases.asyncpg import counted

    return counted(drain, functions=["generate_series"])


def test_a_cursor_lasts_until_its_end(
    kind: Any, database: Database, drain: Drain
) -> None:
    """Or until it is garbage; both forms of a cursor."""
    import asyncpg

    async def work() -> None:
        connection = await asyncpg.connect(database.url, connection_class=kind)
        statement = await connection.prepare(SERIES)
        for make in (lambda: connection.cursor(SERIES), statement.cursor):
            async with connection.transaction():
                async for _ in make():
                    assert names(drain) == ["generate_series"]
                assert names(drain) == []
                cursor = await make()
                assert len(await cursor.fetch(10)) == 10
                assert await cursor.forward(5) == 5
                assert names(drain) == ["generate_series"]
                while await cursor.fetchrow() is not None:
                    pass
                assert names(drain) == []
                cursor = await make()
                await cursor.fetch(10)
                assert names(drain) == ["generate_series"]
                del cursor
                gc.collect()
                assert names(drain) == []
        await connection.close()

    asyncio.run(work())


def test_in_a_drain_every_way_is_refused(
    kind: Any, database: Database, drain: Drain
) -> None:
    """The methods of a connection, and those of a statement that was prepared before."""
    import asyncpg

    call = "CALL close_month('refused', 1, 0)"
    many = "CALL close_month($1, 1, 0)"

    async def work() -> None:
        connection = await asyncpg.connect(database.url, connection_class=kind)
        statement, again = (
            await connection.prepare(call),
            await connection.prepare(many),
        )
        drain.core.enter(Mode.HANDOFF)
        ways = [
            lambda: connection.execute(call),
            lambda: connection.executemany(many, [("refused",)]),
            lambda: connection.fetch(call),
            lambda: connection.fetchrow(call),
            lambda: connection.fetchval(call),
            lambda: connection.fetchmany(many, [("refused",)]),
            lambda: connection.copy_from_query(SERIES, output=print),
            statement.fetch,
            statement.fetchrow,
            statement.fetchval,
            lambda: again.executemany([("refused",)]),
            lambda: again.fetchmany([("refused",)]),
        ]
        for way in ways:
            with pytest.raises(Draining):
                await way()
        async with connection.transaction():
            with pytest.raises(Draining):
                await connection.cursor(SERIES)
            with pytest.raises(Draining):
                async for _ in connection.cursor(SERIES):
                    pass
        with request_under_way(drain):
            await statement.fetch()
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    asyncio.run(work())
    assert drain.counts()["procedures"] == 0
    assert procedures.steps(database, "refused") == ["1"]
    database.sql("DELETE FROM written WHERE job = 'refused';")


def test_a_call_that_is_cancelled_has_ended(
    kind: Any, database: Database, drain: Drain
) -> None:
    """So has one whose time-out is over."""
    import asyncpg

    async def work() -> None:
        connection = await asyncpg.connect(database.url, connection_class=kind)
        task = asyncio.create_task(connection.execute("CALL keep_gate('late')"))
        await asyncio.to_thread(gate.wait_for, 1)
        assert names(drain) == ["keep_gate"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert names(drain) == []
        with pytest.raises(TimeoutError):
            await connection.execute("CALL keep_gate('late')", timeout=0.05)
        assert names(drain) == []
        await connection.close()
        await asyncio.to_thread(gate.wait_for, 0)  # the server learns it by itself

    with procedures.gate(database) as gate:
        asyncio.run(work())
    assert procedures.steps(database, "late") == []


def test_a_pool_takes_its_connections_back_in_a_drain(
    database: Database, drain: Drain
) -> None:
    """What the pool executes for itself is never refused, though every statement counts."""
    import asyncpg
    from gapless_drain.databases.asyncpg import counted

    async def work() -> None:
        kind = counted(drain, every_statement=True)
        async with asyncpg.create_pool(
            database.url, min_size=1, max_size=1, connection_class=kind
        ) as pool:
            async with pool.acquire() as connection:
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                async with connection.transaction():
                    drain.core.enter(Mode.HANDOFF)
            async with pool.acquire() as connection:
                with pytest.raises(Draining):
                    await connection.fetchval("SELECT 1")
                with request_under_way(drain):
                    again = await connection.fetchval("SELECT pg_backend_pid()")
            assert again == pid

    asyncio.run(work())
