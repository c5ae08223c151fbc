"""What psycopg does besides `execute`, sync and async."""

from __future__ import annotations

import asyncio
import gc
from contextlib import closing
from typing import Any

import pytest
from gapless_drain import Drain, Draining, Mode
from gapless_drain.activity import current

from rig.databases import procedures
from rig.databases.database import Database
from rig.databases.statements import (
    BackgroundStatement,
    names,
    request_under_way,
)
from rig.wait import until


@pytest.fixture
def url(databases: dict[str, Database]) -> str:
    """Return where PostgreSQL is, with time-outs, so that no test hangs."""
    limits = "connect_timeout=30&options=-c%20statement_timeout%3D60s"
    return f"{databases['postgresql'].url}?{limits}"


@pytest.fixture
def kind(drain: Drain) -> Any:
    """Return a class of connections that count."""
    from gapless_drain.databases.psycopg import counted

    return counted(drain, functions=["generate_series"])


@pytest.fixture
def async_kind(drain: Drain) -> Any:
    """Return the same for asyncio."""
    import psycopg
    from gapless_drain.databases.psycopg import counted

    return counted(drain, psycopg.AsyncConnection, functions=["generate_series"])


def test_a_pipelined_procedure_lasts_until_the_pipeline_ends(
    kind: Any, url: str, drain: Drain
) -> None:
    """Its call returns long before."""
    with kind.connect(url, autocommit=True) as connection:
        with connection.pipeline():
            connection.execute("CALL close_month('pipelined', 1, 0)")
            connection.execute("SELECT 1")
            gc.collect()
            assert names(drain) == ["close_month"]
        assert names(drain) == []
        with pytest.raises(Exception, match="it fails"), connection.pipeline():
            connection.execute("CALL fail('pipelined')")
        assert names(drain) == []


def test_an_async_pipeline_is_the_same(async_kind: Any, url: str, drain: Drain) -> None:
    """Its procedures last until the block ends as well."""

    async def work() -> None:
        async with await async_kind.connect(url, autocommit=True) as connection:
            async with connection.pipeline():
                await connection.execute("CALL close_month('pipelined', 1, 0)")
                assert names(drain) == ["close_month"]
            assert names(drain) == []

    asyncio.run(work())


def test_a_server_cursor_lasts_until_it_is_closed(
    kind: Any, url: str, drain: Drain
) -> None:
    """Its function runs while rows are fetched."""
    with kind.connect(url) as connection:
        with connection.cursor("named") as cursor:
            cursor.execute("SELECT generate_series(1, 1000)")
            assert cursor.fetchone() == (1,)
            assert names(drain) == ["generate_series"]
        assert names(drain) == []
        with connection.cursor("named") as cursor:
            cursor.execute("SELECT generate_series(1, 1000)")
            cursor.execute("SELECT 1")
            assert names(drain) == []
        cursor = connection.cursor("forgotten")
        cursor.execute("SELECT generate_series(1, 1000)")
        assert names(drain) == ["generate_series"]
        connection.execute("CLOSE forgotten")
        cursor._closed = True  # so that psycopg does not warn of an open cursor
        del cursor
        gc.collect()
        assert names(drain) == []


def test_a_stream_lasts_until_it_is_read(kind: Any, url: str, drain: Drain) -> None:
    """Or until its block is left."""
    with kind.connect(url) as connection, connection.cursor() as cursor:
        # An open stream holds psycopg's lock.  If an assertion failed and left it open,
        # the end of the connection would wait for it for ever.
        with closing(cursor.stream("SELECT generate_series(1, 3)")) as rows:
            assert next(rows) == (1,)
            assert names(drain) == ["generate_series"]
            assert current.get() is None  # other calls meanwhile are not within it
            assert list(rows) == [(2,), (3,)]
            assert names(drain) == []
        with closing(cursor.stream("SELECT generate_series(1, 3)")) as rows:
            next(rows)
        assert names(drain) == []
        with cursor.copy("COPY (SELECT generate_series(1, 3)) TO STDOUT") as copy:
            assert names(drain) == ["generate_series"]
            assert len(list(copy.rows())) == 3
        assert names(drain) == []


def test_async_streams_and_cursors_are_the_same(
    async_kind: Any, url: str, drain: Drain
) -> None:
    """Each ends its procedure when it ends."""

    async def work() -> None:
        async with (
            await async_kind.connect(url) as connection,
            connection.cursor() as cursor,
        ):
            async for _ in cursor.stream("SELECT generate_series(1, 3)"):
                assert names(drain) == ["generate_series"]
            assert names(drain) == []
            async with connection.cursor("named") as named:
                await named.execute("SELECT generate_series(1, 3)")
                assert names(drain) == ["generate_series"]
            assert names(drain) == []
            text = "COPY (SELECT generate_series(1, 3)) TO STDOUT"
            async with cursor.copy(text) as copy:
                assert names(drain) == ["generate_series"]
                assert [row async for row in copy.rows()]
            assert names(drain) == []
            await cursor.executemany("CALL close_month(%s, 1, 0)", [["a"], ["b"]])

    asyncio.run(work())


def test_in_a_drain_every_way_is_refused(kind: Any, url: str, drain: Drain) -> None:
    """In every form of a statement, and with every class of cursors."""
    import psycopg
    from psycopg import sql

    call = sql.SQL("CALL {}('refused', 1, 0)").format(sql.Identifier("close_month"))
    with kind.connect(url, autocommit=True) as connection:
        drain.core.enter(Mode.HANDOFF)
        for factory in (psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor):
            connection.cursor_factory = factory
            cursor = connection.cursor()
            for each in (call, b"CALL close_month('refused', 1, 0)"):
                with pytest.raises(Draining, match="close_month"):
                    cursor.execute(each)
            with pytest.raises(Draining):
                cursor.executemany("CALL close_month('refused', 1, 0)", [[]])
            with pytest.raises(Draining):
                list(cursor.stream("SELECT generate_series(1, 2)"))
            with (
                pytest.raises(Draining),
                cursor.copy("COPY (SELECT generate_series(1, 3)) TO STDOUT"),
            ):
                pass
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
        with pytest.raises(Draining), connection.cursor("named") as named:
            named.execute("SELECT generate_series(1, 3)")
        with pytest.raises(Draining, match="DO"):
            connection.execute("DO $$ BEGIN END $$")
        connection.execute("PREPARE s AS SELECT generate_series(1, 2)")
        with pytest.raises(Draining, match="generate_series"):
            connection.execute("EXECUTE s")
        with request_under_way(drain):
            connection.execute("EXECUTE s")
    assert drain.counts()["procedures"] == 0


def test_a_call_that_is_cancelled_has_ended(
    async_kind: Any, url: str, drain: Drain, databases: dict[str, Database]
) -> None:
    """The driver cancels it in the database before it raises."""
    database = databases["postgresql"]

    async def work() -> None:
        async with await async_kind.connect(url, autocommit=True) as connection:
            task = asyncio.create_task(
                connection.execute("CALL keep_gate('cancelled')")
            )
            await asyncio.to_thread(gate.wait_for, 1)
            assert names(drain) == ["keep_gate"]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert names(drain) == []
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connection.execute("CALL keep_gate('cancelled')")
            assert names(drain) == []

    with procedures.gate(database) as gate:
        asyncio.run(work())
    assert procedures.steps(database, "cancelled") == []


def test_threads_and_pools_count_each(
    url: str, drain: Drain, databases: dict[str, Database]
) -> None:
    """Four threads on a pool of two: two run, and the others wait for a connection."""
    from gapless_drain.databases.psycopg import counted
    from psycopg_pool import ConnectionPool

    database = databases["postgresql"]

    def call(pool: Any) -> None:
        with pool.connection() as connection:
            connection.execute("CALL keep_gate('pooled')")

    with (
        ConnectionPool(
            url, min_size=2, max_size=2, connection_class=counted(drain)
        ) as pool,
        procedures.gate(database) as gate,
    ):
        running = [BackgroundStatement(call, pool) for _ in range(4)]
        gate.wait_for(2)
        assert names(drain) == ["keep_gate"] * 2
        drain.core.enter(Mode.RECYCLE)
        gate.open()
        results = [each.result() for each in running]
    assert sorted(map(type, results), key=str) == sorted(
        [type(None)] * 2 + [Draining] * 2, key=str
    )
    until(lambda: drain.core.is_drained, "nothing to be under way")
    assert procedures.steps(database, "pooled").count("end") == 2
