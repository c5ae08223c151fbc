"""What holds for every driver: procedures count, and none begins in a drain."""

from __future__ import annotations

import uuid

import pytest
from gapless_drain import Drain, Draining, Mode

from rig.databases import procedures
from rig.databases.database import Database
from rig.databases.statements import (
    BackgroundStatement,
    finished,
    names,
    request_under_way,
)
from rig.drivers.by_name import DRIVERS, Run


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """Return the name of a driver."""
    return str(request.param)


@pytest.fixture
def run(driver: str) -> Run:
    """Return what runs a statement with the driver."""
    return DRIVERS[driver][1]


@pytest.fixture
def database(driver: str, databases: dict[str, Database]) -> Database:
    """Return the driver's database."""
    return databases[DRIVERS[driver][0]]


@pytest.fixture
def job() -> str:
    """Return the name of a job that no other test has."""
    return uuid.uuid4().hex


def test_a_call_counts_once_while_it_runs(
    run: Run, database: Database, drain: Drain, job: str
) -> None:
    """It has the database's name; a drain that begins meanwhile waits for it."""
    with procedures.gate(database) as gate:
        running = BackgroundStatement(run, drain, database, f"CALL keep_gate('{job}')")
        gate.wait_for(1)
        assert names(drain) == ["keep_gate"]
        drain.core.enter(Mode.RECYCLE)
        assert not drain.core.is_drained
        gate.open()
        assert running.result() is None
    assert procedures.steps(database, job) == ["begin", "end"]
    assert drain.core.is_drained
    assert finished(drain) == {"requests": 0, "procedures": 1}


def test_none_begins_in_a_drain(
    run: Run, database: Database, drain: Drain, job: str
) -> None:
    """Nothing reaches the database; other statements are executed."""
    drain.core.enter(Mode.HANDOFF)
    with pytest.raises(Draining, match="close_month"):
        run(drain, database, f"CALL close_month('{job}', 3, 0)")
    assert procedures.steps(database, job) == []
    run(drain, database, "SELECT 1")
    assert drain.counts()["procedures"] == 0


def test_within_a_request_calls_go_on(
    run: Run, database: Database, drain: Drain, job: str
) -> None:
    """The request was admitted, so its calls are too."""
    with request_under_way(drain):
        drain.core.enter(Mode.RECYCLE)
        run(drain, database, f"CALL close_month('{job}', 3, 0)")
    assert procedures.steps(database, job) == ["1", "2", "3"]
    assert finished(drain) == {"requests": 1, "procedures": 1}
    assert drain.core.is_drained


def test_within_a_procedure_calls_go_on(
    run: Run, database: Database, drain: Drain, job: str
) -> None:
    """They are admitted as within a request."""
    with drain.procedure("close the year"):
        drain.core.enter(Mode.RECYCLE)
        run(drain, database, f"CALL close_month('{job}', 3, 0)")
    assert procedures.steps(database, job) == ["1", "2", "3"]
    assert finished(drain) == {"requests": 0, "procedures": 2}


def test_one_that_fails_has_ended(
    run: Run, database: Database, drain: Drain, job: str
) -> None:
    """The driver raises its own error, and nothing stays counted."""
    drain.core.enter(Mode.LEAVING)
    with pytest.raises(Exception, match="it fails"):
        run(drain, database, f"CALL fail('{job}')")
    assert drain.counts()["procedures"] == 0
    assert drain.counts()["finished"]["procedures"] == 1
    assert procedures.steps(database, job) == []


def test_a_connection_that_dies_ends_its_procedure(
    run: Run, database: Database, drain: Drain, job: str
) -> None:
    """The database rolls it back."""
    with procedures.gate(database) as gate:
        running = BackgroundStatement(run, drain, database, f"CALL keep_gate('{job}')")
        gate.wait_for(1)
        gate.kill()
        assert running.result() is not None
    assert drain.counts()["procedures"] == 0
    assert procedures.steps(database, job) == []


def test_functions_count_if_they_are_named(
    run: Run, database: Database, drain: Drain, job: str
) -> None:
    """Otherwise a SELECT of a function does not count."""
    call = f"SELECT close_year('{job}')"
    drain.core.enter(Mode.RECYCLE)
    with pytest.raises(Draining, match="close_year"):
        run(drain, database, call, functions=["close_year"])
    assert procedures.steps(database, job) == []
    run(drain, database, call)
    drain.core.enter(Mode.SERVING)
    assert [tuple(row) for row in run(drain, database, call)] == [(12,)]
    assert drain.counts()["procedures"] == 0


def test_every_statement_counts_if_asked(
    run: Run, database: Database, drain: Drain, job: str
) -> None:
    """It does outside a request; within one, the request counts."""
    insert = f"INSERT INTO written VALUES ('{job}', 'plain')"
    run(drain, database, insert, every_statement=True)
    with request_under_way(drain):
        drain.core.enter(Mode.RECYCLE)
        run(drain, database, insert, every_statement=True)
    with pytest.raises(Draining, match=r"(INSERT|SELECT) statement"):
        run(drain, database, insert, every_statement=True)
    drain.core.enter(Mode.SERVING)
    assert drain.counts()["procedures"] == 0
