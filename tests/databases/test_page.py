"""The examples of docs/databases.md, each run unchanged."""

from __future__ import annotations

import ast
import asyncio
import re
import types
from collections.abc import Iterator
from typing import Any

import pytest
from gapless_drain import Drain, Draining, Mode

from rig.databases import procedures
from rig.databases.database import Database
from rig.drivers.frameworks import django
from rig.hosts.host import ROOT

PAGE = (ROOT / "docs" / "databases.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MARIADB = ("pymysql", "mysqlclient", "aiomysql")


def job_of(block: str) -> str:
    """Return the job that an example passes to its procedure."""
    (found,) = set(
        re.findall(r"'(\w+)', 3, 0|\"(\w+)\"(?:, 3, 0|\)$|\}|,\))", block, re.MULTILINE)
    )
    return "".join(found)


def run(block: str, names: dict[str, Any]) -> None:
    """Run an example, which may await; close its connections, also after an error."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(block, "docs/databases.md", "exec", flags, dont_inherit=True)
    example = types.FunctionType(code, names)

    async def work() -> None:
        try:
            await example()
        finally:
            if "engine" in names:
                await names["engine"].dispose()

    if re.search(r"\bawait\b|^async\b", block, re.MULTILINE):
        asyncio.run(work())
        return
    try:
        example()
        if "scheduler" in names:
            names["close_month"]()
    finally:
        if "engine" in names:
            names["engine"].dispose()
        if "scheduler" in names:
            names.pop("scheduler").shutdown()


@pytest.fixture
def names(
    request: pytest.FixtureRequest, databases: dict[str, Database], drain: Drain
) -> Iterator[dict[str, Any]]:
    """Return the names that the page takes as given."""
    job = job_of(request.getfixturevalue("block"))
    database = databases["mariadb" if job in MARIADB else "postgresql"]
    told = database.connect_arguments()
    where = {name: value for name, value in told.items() if name != "database"}
    if job == "django":
        django(drain, database, "SELECT 1")
    found: dict[str, Any] = {
        "drain": drain,
        "url": database.url,
        "told": told,
        "where": where,
    }
    found["database"] = database
    yield found
    if job == "django":
        from django.db import connection

        connection.close()
    database.sql(f"DELETE FROM written WHERE job = '{job}';")


@pytest.mark.parametrize("block", BLOCKS, ids=job_of)
def test_an_example_calls_its_procedure_and_none_in_a_drain(
    block: str, names: dict[str, Any], drain: Drain
) -> None:
    """It writes three steps; once the process drains, it writes no fourth."""
    job, database = job_of(block), names["database"]
    run(block, names)
    assert procedures.steps(database, job) == ["1", "2", "3"]
    drain.core.enter(Mode.RECYCLE)
    with pytest.raises(Draining, match="close_month"):
        run(block, names)
    assert procedures.steps(database, job) == ["1", "2", "3"]


def test_every_driver_has_an_example() -> None:
    """The page shows each module that an app imports."""
    modules = (ROOT / "packages/gapless-drain/src/gapless_drain/databases").glob("*.py")
    shared = {
        *("__init__", "mysql_cursors", "mysql_driver", "open_connections"),
        *("psycopg_cursors", "statement_counter", "stored_procedure"),
    }
    names = {path.stem for path in modules} - shared
    shown = set(re.findall(r"from gapless_drain\.databases\.(\w+) import", PAGE))
    assert names == shown
