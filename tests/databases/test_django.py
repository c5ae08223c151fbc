"""What Django does besides `execute`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from gapless_drain import Drain, Draining, Mode

from rig.databases import procedures
from rig.databases.database import Database
from rig.databases.statements import names, request_under_way
from rig.drivers.frameworks import django


@pytest.fixture(params=["postgresql", "mariadb"])
def connection(
    request: pytest.FixtureRequest, databases: dict[str, Database], drain: Drain
) -> Iterator[Any]:
    """Return a connection of Django, counted."""
    django(drain, databases[request.param], "SELECT 1", functions=["close_year"])
    from django.db import connections

    yield connections["default"]
    connections["default"].close()


def test_what_is_no_execute_counts_too(connection: Any, drain: Drain) -> None:
    """That is `callproc`, which passes no wrapper, and the driver's own cursors."""
    drain.core.enter(Mode.HANDOFF)
    name = "close_year" if connection.vendor == "postgresql" else "close_month"
    with connection.cursor() as cursor:
        arguments = ["past"] if connection.vendor == "postgresql" else ["past", 1, 0]
        with pytest.raises(Draining, match=name):
            cursor.callproc(name, arguments)
        with pytest.raises(Draining, match="close_month"):
            cursor.executemany("CALL close_month(%s, 1, 0)", [["past"]])
    with connection.connection.cursor() as raw, pytest.raises(Draining):
        raw.execute("CALL close_month('past', 1, 0)")
    with connection.cursor() as cursor, request_under_way(drain):
        cursor.callproc(name, arguments)
    assert drain.counts()["procedures"] == 0


def test_atomic_blocks_go_on_and_back(
    connection: Any, drain: Drain, databases: dict[str, Database]
) -> None:
    """A call that is refused in a block rolls the block back."""
    from django.db import transaction

    kind = "mariadb" if connection.vendor == "mysql" else "postgresql"
    drain.core.enter(Mode.HANDOFF)

    def work() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO written VALUES ('atomic', '1')")
            cursor.execute("CALL close_month('atomic', 1, 0)")

    with pytest.raises(Draining):
        work()
    assert procedures.steps(databases[kind], "atomic") == []


def test_other_wrappers_come_and_go(connection: Any, drain: Drain) -> None:
    """Also if a connection is opened within the block of another wrapper."""
    executed: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        executed.append(sql)
        return execute(sql, params, many, context)

    connection.close()
    with connection.execute_wrapper(wrapper), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    count = len(executed)
    drain.core.enter(Mode.HANDOFF)
    with connection.cursor() as cursor, pytest.raises(Draining):
        cursor.execute("CALL close_month('wrapped', 1, 0)")
    assert len(executed) == count
    assert len(connection.execute_wrappers) == 1


@pytest.mark.usefixtures("connection")
def test_each_thread_has_a_connection_that_counts(drain: Drain) -> None:
    """The threads of a server and of `sync_to_async` have one each."""
    from django.db import connections

    refused: list[str] = []

    def call() -> None:
        with connections["default"].cursor() as cursor:
            try:
                cursor.execute("CALL close_month('thread', 1, 0)")
            except Draining as error:
                refused.append(str(error))
        connections["default"].close()

    drain.core.enter(Mode.HANDOFF)
    threads = [threading.Thread(target=call) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(refused) == 3
    assert names(drain) == []
