"""Procedures of MariaDB: results that come while they run, `callproc`, prepared calls."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from typing import Any

import pytest
from gapless_drain import Drain, Draining, Mode

from rig.databases import procedures
from rig.databases.database import Database
from rig.databases.statements import (
    BackgroundStatement,
    names,
    request_under_way,
)
from rig.wait import until


@pytest.fixture
def database(databases: dict[str, Database]) -> Database:
    """Return MariaDB."""
    return databases["mariadb"]


def pymysql(drain: Drain, database: Database, *, streams: bool = False) -> Any:
    """Return a connection."""
    import pymysql
    from gapless_drain.databases.pymysql import counted

    base = pymysql.cursors.SSCursor if streams else pymysql.cursors.DictCursor
    kind = counted(drain, base, functions=["sleep"])
    return pymysql.connect(
        cursorclass=kind,
        autocommit=True,
        client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        **database.connect_arguments(),
    )


def mysqlclient(drain: Drain, database: Database, *, streams: bool = False) -> Any:
    """Return a connection."""
    import MySQLdb.cursors
    from gapless_drain.databases.mysqlclient import counted

    cursors = MySQLdb.cursors
    base = cursors.SSCursor if streams else cursors.DictCursor
    kind = counted(drain, base, functions=["sleep"])
    return MySQLdb.connect(
        cursorclass=kind, autocommit=True, **database.connect_arguments()
    )


Connect = Callable[..., Any]


@pytest.fixture(params=[pymysql, mysqlclient], ids=["pymysql", "mysqlclient"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Return what connects."""
    found: Connect = request.param
    return found


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("how", ["execute", "callproc"])
def test_a_procedure_lasts_until_its_last_result(
    connect: Connect, database: Database, drain: Drain, how: str, *, streams: bool
) -> None:
    """After its first rows have come, it goes on in the database."""
    job = f"rows {connect.__name__} {how} {streams}"
    connection = connect(drain, database, streams=streams)
    with procedures.gate(database) as gate, contextlib.closing(connection):
        cursor = connection.cursor()
        if how == "execute":
            cursor.execute("CALL gate_after_rows(%s)", (job,))
        else:
            cursor.callproc("gate_after_rows", (job,))
        assert len(cursor.fetchall()) == 2
        gate.wait_for(1)
        assert names(drain) == ["gate_after_rows"]
        drain.core.enter(Mode.RECYCLE)
        gate.open()
        while cursor.nextset():
            pass
        assert drain.core.is_drained
        cursor.execute("SELECT 1")
        assert len(cursor.fetchall()) == 1
        cursor.close()
    assert procedures.steps(database, job) == ["begin", "end"]


@pytest.mark.parametrize("end", ["close", "execute", "forget"])
def test_a_cursor_that_ends_ends_its_procedure(
    connect: Connect, database: Database, drain: Drain, end: str
) -> None:
    """It is closed, executes something else, or is garbage."""
    with contextlib.closing(connect(drain, database)) as connection:
        cursor = connection.cursor()
        cursor.execute("CALL gate_after_rows('left')")
        assert names(drain) == ["gate_after_rows"]
        if end == "close":
            cursor.close()
        elif end == "execute":
            cursor.execute("SELECT 1")
        else:
            del cursor
            gc.collect()
        assert names(drain) == []


def test_a_call_without_rows_ends_when_it_returns(
    connect: Connect, database: Database, drain: Drain
) -> None:
    """A cursor that is kept keeps nothing open."""
    with contextlib.closing(connect(drain, database)) as connection:
        cursor = connection.cursor()
        assert cursor.callproc("close_month", ("kept", 1, 0)) == ("kept", 1, 0)
        assert names(drain) == []
        cursor.execute("SELECT SLEEP(0)")  # all its rows have come already
        assert names(drain) == []
        cursor.close()


def test_unbuffered_rows_are_part_of_a_function(
    connect: Connect, database: Database, drain: Drain
) -> None:
    """The function is called again for each row."""
    database.sql("INSERT INTO written VALUES ('unbuffered', '1');")
    with contextlib.closing(connect(drain, database, streams=True)) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT SLEEP(0) FROM written")
            assert names(drain) == ["sleep"]
        assert names(drain) == []


def test_in_a_drain_every_way_is_refused(
    connect: Connect, database: Database, drain: Drain
) -> None:
    """A call by name, by text, and of what was prepared before."""
    with (
        contextlib.closing(connect(drain, database)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("PREPARE s FROM 'CALL close_month(?, 1, 0)'")
        cursor.execute("PREPARE plain FROM 'SELECT 1'")
        cursor.execute("SET @job = 'refused'")
        drain.core.enter(Mode.HANDOFF)
        for text in (
            "CALL close_month('refused', 1, 0)",
            "EXECUTE s USING @job",
            "EXECUTE IMMEDIATE 'CALL close_month(''refused'', 1, 0)'",
            b"SELECT 1; /*! CALL close_month('refused', 1, 0) */",
        ):
            with pytest.raises(Draining, match="close_month"):
                cursor.execute(text)
        with pytest.raises(Draining, match="close_month"):
            cursor.callproc("close_month", ("refused", 1, 0))
        with pytest.raises(Draining, match="close_month"):
            cursor.executemany("CALL close_month(%s, 1, 0)", [("refused",)])
        cursor.execute("EXECUTE plain")
        assert len(cursor.fetchall()) == 1
        assert procedures.steps(database, "refused") == []
        with request_under_way(drain):
            cursor.execute("EXECUTE s USING @job")
        assert procedures.steps(database, "refused") == ["1"]
        database.sql("DELETE FROM written WHERE job = 'refused';")


def test_several_statements_last_until_the_last_result(
    database: Database, drain: Drain
) -> None:
    """They run in the database one after the other."""
    job = "several"
    connection = pymysql(drain, database)
    with procedures.gate(database) as gate, contextlib.closing(connection):
        cursor = connection.cursor()
        cursor.execute(f"SELECT 1; CALL keep_gate('{job}')")
        gate.wait_for(1)
        assert names(drain) == ["keep_gate"]
        gate.open()
        cursor.close()
        assert names(drain) == []
    assert procedures.steps(database, job) == ["begin", "end"]


def test_aiomysql_is_the_same(database: Database, drain: Drain) -> None:
    """With rows that come while it runs, and with `callproc`."""
    import aiomysql
    from gapless_drain.databases.aiomysql import counted

    told = database.connect_arguments()
    told["db"] = told.pop("database")

    async def work() -> None:
        kind = counted(drain)
        connection = await aiomysql.connect(cursorclass=kind, autocommit=True, **told)
        cursor = await connection.cursor()
        await cursor.callproc("gate_after_rows", ("aio",))
        await asyncio.to_thread(gate.wait_for, 1)
        assert names(drain) == ["gate_after_rows"]
        await asyncio.to_thread(gate.open)
        await cursor.close()
        assert names(drain) == []
        drain.core.enter(Mode.RECYCLE)
        cursor = await connection.cursor()
        calls: list[Callable[[], Any]] = [
            lambda: cursor.callproc("close_month", ("refused", 1, 0)),
            lambda: cursor.executemany("CALL close_month(%s, 1, 0)", [("refused",)]),
        ]
        for call in calls:
            with pytest.raises(Draining):
                await call()
        await cursor.execute("SELECT 1")
        await cursor.close()
        connection.close()

    with procedures.gate(database) as gate:
        asyncio.run(work())
    assert procedures.steps(database, "aio") == ["begin", "end"]


def test_an_aiomysql_call_that_is_cancelled_has_ended(
    database: Database, drain: Drain
) -> None:
    """It ends with its connection, which the driver closes."""
    import aiomysql
    from gapless_drain.databases.aiomysql import counted

    told = database.connect_arguments()
    told["db"] = told.pop("database")

    async def work() -> None:
        kind = counted(drain)
        connection = await aiomysql.connect(cursorclass=kind, autocommit=True, **told)
        cursor = await connection.cursor()
        task = asyncio.create_task(cursor.execute("CALL keep_gate('cancelled')"))
        await asyncio.to_thread(gate.wait_for, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert names(drain) == []
        gate.kill()
        connection.close()

    with procedures.gate(database) as gate:
        asyncio.run(work())
    assert procedures.steps(database, "cancelled") == []


def test_a_connection_that_is_killed_between_results_ends_its_procedure(
    connect: Connect, database: Database, drain: Drain
) -> None:
    """The next call of the cursor fails."""
    with procedures.gate(database) as gate:
        connection = connect(drain, database)
        cursor = connection.cursor()
        cursor.execute("CALL gate_after_rows('killed')")
        gate.wait_for(1)
        running = BackgroundStatement(cursor.nextset)
        gate.kill()
        assert running.result() is not None
        until(lambda: names(drain) == [], "nothing to be counted")
    assert procedures.steps(database, "killed") == []
    with contextlib.suppress(Exception):
        connection.close()
