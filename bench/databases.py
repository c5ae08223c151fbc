"""What does counting cost a statement that is no procedure?  Microseconds, by driver.

    .venv/bin/python bench/databases.py

Bare and counted calls of the driver take turns, in one process, on a real database.  The
statement is `SELECT 1`, so the cost is that of a call, not of its work.  It measures the
processor time of this process; the fastest of many rounds counts, since the others contain
other work of the machine.  The goal is 5 microseconds a statement or less.  A second table
shows the cost of a check of a statement's text, known or new.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from gapless_drain import Drain
from gapless_drain.databases.sql.procedures import ProcedureFinder
from gapless_drain.databases.statement_counter import StatementCounter

from rig.databases.database import Database
from rig.databases.mariadb import mariadb
from rig.databases.postgresql import postgresql
from rig.drivers import by_name, frameworks
from rig.sigterm import clean_up_at_sigterm
from rig.turns import Turn, take_turns

by_name.add_to_path()
CALLS, ROUNDS = 200, 41
TEXT = "SELECT 1"
QUERY = (
    "SELECT orders.id, orders.total, customers.name FROM orders JOIN customers"
    " ON customers.id = orders.customer WHERE orders.state = %s AND orders.total > %s"
    " ORDER BY orders.id DESC LIMIT 50 -- the page of the shop"
)


def timed(execute: Callable[[str], Any]) -> Turn:
    """Return a turn that executes the statement `CALLS` times."""

    def turn() -> float:
        began = time.process_time()
        for _ in range(CALLS):
            execute(TEXT)
        return time.process_time() - began

    return turn


def async_timed(runner: asyncio.Runner, execute: Callable[[str], Any]) -> Turn:
    """Return a turn that awaits the statement `CALLS` times."""

    async def work() -> float:
        began = time.process_time()
        for _ in range(CALLS):
            await execute(TEXT)
        return time.process_time() - began

    return lambda: runner.run(work())


Pair = tuple[Turn, Turn]


@contextlib.contextmanager
def psycopg(drain: Drain, database: Database) -> Iterator[Pair]:
    """Yield the bare turn and the counted one."""
    import psycopg
    from gapless_drain.databases.psycopg import counted

    with counted(drain).connect(database.url, autocommit=True) as connection:
        bare, ours = psycopg.Cursor(connection), connection.cursor()
        yield timed(bare.execute), timed(ours.execute)


@contextlib.contextmanager
def asyncpg(drain: Drain, database: Database) -> Iterator[Pair]:
    """Yield the bare turn and the counted one."""
    import asyncpg
    from gapless_drain.databases.asyncpg import counted

    with asyncio.Runner() as runner:
        kind = counted(drain)
        ours = runner.run(asyncpg.connect(database.url, connection_class=kind))
        bare = functools.partial(asyncpg.Connection.fetch, ours)
        yield async_timed(runner, bare), async_timed(runner, ours.fetch)
        runner.run(ours.close())


@contextlib.contextmanager
def pymysql(drain: Drain, database: Database) -> Iterator[Pair]:
    """Yield the bare turn and the counted one."""
    import pymysql
    from gapless_drain.databases.pymysql import counted

    with pymysql.connect(**database.connect_arguments()) as connection:
        bare, ours = connection.cursor(), connection.cursor(counted(drain))
        yield timed(bare.execute), timed(ours.execute)


@contextlib.contextmanager
def mysqlclient(drain: Drain, database: Database) -> Iterator[Pair]:
    """Yield the bare turn and the counted one."""
    import MySQLdb
    from gapless_drain.databases.mysqlclient import counted

    connection = MySQLdb.connect(**database.connect_arguments())
    with contextlib.closing(connection):
        bare, ours = connection.cursor(), connection.cursor(counted(drain))
        yield timed(bare.execute), timed(ours.execute)


@contextlib.contextmanager
def aiomysql(drain: Drain, database: Database) -> Iterator[Pair]:
    """Yield the bare turn and the counted one."""
    import aiomysql
    from gapless_drain.databases.aiomysql import counted

    arguments = database.connect_arguments()
    arguments["db"] = arguments.pop("database")
    with asyncio.Runner() as runner:
        connection = runner.run(_connect(aiomysql, arguments))
        bare = runner.run(_cursor(connection))
        ours = runner.run(_cursor(connection, counted(drain)))
        yield async_timed(runner, bare.execute), async_timed(runner, ours.execute)
        connection.close()


async def _connect(aiomysql: Any, arguments: dict[str, Any]) -> Any:
    return await aiomysql.connect(**arguments)


async def _cursor(connection: Any, *kind: Any) -> Any:
    return await connection.cursor(*kind)


@contextlib.contextmanager
def sqlalchemy(drain: Drain, database: Database) -> Iterator[Pair]:
    """Yield the bare turn and the counted one."""
    import sqlalchemy
    from gapless_drain.databases.sqlalchemy import count

    url = database.url.replace("postgresql:", "postgresql+psycopg:")
    engines = [sqlalchemy.create_engine(url) for _ in range(2)]
    count(drain, engines[1])
    with engines[0].connect() as bare, engines[1].connect() as ours:
        yield timed(bare.exec_driver_sql), timed(ours.exec_driver_sql)
    for engine in engines:
        engine.dispose()


@contextlib.contextmanager
def django(drain: Drain, database: Database) -> Iterator[Pair]:
    """Yield the bare turn and the counted one."""
    frameworks.django(drain, database, TEXT)
    from django.db import connections
    from django.db.backends.signals import connection_created

    ours = connections["default"]
    with ours.cursor() as counted:
        connection_created.disconnect(dispatch_uid="gapless_drain")
        other = connections.create_connection("default")
        with other.cursor() as bare:
            yield timed(bare.execute), timed(counted.execute)
        other.close()
    ours.close()


def compare(name: str, bare: Turn, counted: Turn) -> None:
    """Print a line of the table."""
    found = take_turns(bare, counted, calls=CALLS, rounds=ROUNDS)
    one, other = min(found[0]), min(found[1])
    print(f"{name:<14}{one:>10.1f}{other:>12.1f}{other - one:>10.2f}")


def check(name: str, work: Callable[[], Any]) -> None:
    """Print the cost of one check of a text."""
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            work()
        took.append((time.process_time() - began) / CALLS * 1e6)
    print(f"{name:<36}{statistics.median(took):>10.2f}")


def main() -> None:
    """Print the tables."""
    drain = Drain(environ={}, on_signal=None)
    print(f"{'driver':<14}{'bare us':>10}{'counted us':>12}{'cost us':>10}")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        with postgresql(Path(directory, "a")) as database:
            for driver in (psycopg, asyncpg, sqlalchemy, django):
                with driver(drain, database) as (bare, counted):
                    compare(driver.__name__, bare, counted)
        with mariadb(Path(directory, "b")) as database:
            for driver in (pymysql, mysqlclient, aiomysql):
                with driver(drain, database) as (bare, counted):
                    compare(driver.__name__, bare, counted)
    print(f"\n{'a look at a text':<36}{'us':>10}")
    counter = StatementCounter(drain, "postgresql", ["close_year"])
    finder = ProcedureFinder("postgresql", ["close_year"])
    check("known, no procedure", lambda: counter.procedure_in(QUERY))
    check("new, no procedure", lambda: finder.find(QUERY))
    check("new, a CALL", lambda: finder.find("CALL close_month(%s, %s)"))
    check("new, read in full", lambda: finder.read(QUERY))
    rows = QUERY + " /* 100 kB */" + " ('a', 1)," * 10_000
    check("new, no procedure, 100 kB", lambda: finder.find(rows))


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
