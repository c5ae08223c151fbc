"""What SQLAlchemy does besides `execute`, and a call that is counted in both layers."""

from __future__ import annotations

import asyncio
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

ENGINES = {"postgresql": "postgresql+psycopg", "mariadb": "mysql+pymysql"}


def engine_of(database: Database, **options: Any) -> Any:
    """Return an engine."""
    import sqlalchemy

    return sqlalchemy.create_engine(url_of(database), **options)


def url_of(database: Database, driver: str = "") -> str:
    """Return the URL of a database as SQLAlchemy writes it."""
    name = driver or ENGINES[database.kind]
    return database.url.replace(f"{database.kind}://", f"{name}://")


def test_a_driver_that_counts_too_counts_once(
    databases: dict[str, Database], drain: Drain
) -> None:
    """SQLAlchemy and its driver both count: psycopg, and asyncpg."""
    import sqlalchemy
    from gapless_drain.databases import asyncpg, psycopg
    from gapless_drain.databases.sqlalchemy import count
    from sqlalchemy.ext.asyncio import create_async_engine

    database = databases["postgresql"]
    kind = psycopg.counted(drain)
    engine = engine_of(database, creator=lambda: kind.connect(database.url))
    count(drain, engine)

    def call() -> None:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CALL keep_gate('both')"))

    with procedures.gate(database) as gate:
        running = BackgroundStatement(call)
        gate.wait_for(1)
        assert names(drain) == ["keep_gate"]
        gate.open()
        assert running.result() is None
    engine.dispose()

    async def work() -> None:
        engine = create_async_engine(
            url_of(database, "postgresql+asyncpg"),
            connect_args={"connection_class": asyncpg.counted(drain)},
        )
        count(drain, engine)
        async with engine.begin() as connection:
            calling = asyncio.create_task(
                connection.execute(sqlalchemy.text("CALL keep_gate('both')"))
            )
            await asyncio.to_thread(gate.wait_for, 1)
            assert names(drain) == ["keep_gate"]
            await asyncio.to_thread(gate.open)
            await calling
            assert names(drain) == []
        await engine.dispose()

    with procedures.gate(database) as gate:
        asyncio.run(work())


@pytest.mark.parametrize("kind", ENGINES)
def test_what_is_called_past_sqlalchemy_counts(
    databases: dict[str, Database], drain: Drain, kind: str
) -> None:
    """That is a call on a connection of its pool, with the driver's own cursor."""
    from gapless_drain.databases.sqlalchemy import count

    database = databases[kind]
    engine = engine_of(database)
    count(drain, engine)
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        drain.core.enter(Mode.HANDOFF)
        with pytest.raises(Draining, match="close_month"):
            cursor.execute("CALL close_month('past', 1, 0)")
        if kind == "mariadb":
            with pytest.raises(Draining, match="close_month"):
                cursor.callproc("close_month", ["past", 1, 0])
            with request_under_way(drain):
                cursor.callproc("close_month", ["past", 1, 0])
        cursor.close()
    finally:
        raw.close()
        engine.dispose()
    assert drain.counts()["procedures"] == 0


@pytest.mark.parametrize("kind", ENGINES)
def test_the_orm_and_executemany_count(
    databases: dict[str, Database], drain: Drain, kind: str
) -> None:
    """Sessions, text with parameters, and several sets of parameters at once."""
    import sqlalchemy
    from gapless_drain.databases.sqlalchemy import count
    from sqlalchemy.orm import Session

    database = databases[kind]
    engine = engine_of(database)
    count(drain, engine, functions=["close_year"])
    call = sqlalchemy.text("CALL close_month(:job, 1, 0)")
    year = sqlalchemy.select(sqlalchemy.func.close_year("orm"))
    with Session(engine) as session:
        session.execute(call, {"job": "orm"})
        session.execute(call, [{"job": "orm"}, {"job": "orm"}])
        session.commit()
        drain.core.enter(Mode.HANDOFF)
        ways: list[Callable[[], Any]] = [
            lambda: session.execute(call, {"job": "orm"}),
            lambda: session.execute(call, [{"job": "orm"}, {"job": "orm"}]),
            lambda: session.execute(year),
        ]
        for refused in ways:
            with pytest.raises(Draining):
                refused()
            session.rollback()
        with request_under_way(drain):
            assert session.execute(year).scalar() == 12
            session.rollback()
    engine.dispose()
    assert procedures.steps(database, "orm") == ["1"] * 3
    assert drain.counts()["procedures"] == 0


def test_what_is_streamed_lasts_until_its_connection_goes_back(
    databases: dict[str, Database], drain: Drain
) -> None:
    """A function runs while its rows are fetched."""
    import sqlalchemy
    from gapless_drain.databases.sqlalchemy import count

    engine = engine_of(databases["postgresql"])
    count(drain, engine, functions=["generate_series"])
    series = sqlalchemy.text("SELECT generate_series(1, 10000)")
    with engine.connect() as connection:
        rows = connection.execution_options(stream_results=True).execute(series)
        assert tuple(rows.fetchone()) == (1,)
        assert names(drain) == ["generate_series"]
    assert names(drain) == []
    rows.close()
    engine.dispose()


def test_results_that_come_later_last_until_the_connection_goes_back(
    databases: dict[str, Database], drain: Drain
) -> None:
    """A CALL goes on in MariaDB after its first rows."""
    import sqlalchemy
    from gapless_drain.databases.sqlalchemy import count

    database = databases["mariadb"]
    for driver in ("mysql+pymysql", "mysql+mysqldb"):
        engine = sqlalchemy.create_engine(url_of(database, driver))
        count(drain, engine)
        with procedures.gate(database) as gate:
            with engine.connect() as connection:
                call = sqlalchemy.text("CALL gate_after_rows(:job)")
                result = connection.execute(call, {"job": driver})
                assert result.fetchone() is not None
                gate.wait_for(1)
                assert names(drain) == ["gate_after_rows"]
                gate.open()
                result.close()
            assert names(drain) == []
        engine.dispose()
        assert procedures.steps(database, driver) == ["begin", "end"]
