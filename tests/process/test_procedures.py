"""Stored procedures in real databases, through releases under load."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rig import wait
from rig.databases import procedures
from rig.databases.database import Database
from rig.databases.kinds import DATABASES
from rig.hosts.host import (
    ROOT,
    SERVERS,
    Host,
)
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix, times
from rig.wait import free_port, until

CALLS = engine.Traffic(kind="calls", concurrency=4, path="/call")
TRAFFICS = (engine.NEW, CALLS)
DRIVERS = {
    "psycopg": "postgresql",
    "psycopg_async": "postgresql",
    "asyncpg": "postgresql",
    "sqlalchemy": "postgresql",
    "sqlalchemy_async": "postgresql",
    "django": "postgresql",
    "pymysql": "mariadb",
    "mysqlclient": "mariadb",
    "aiomysql": "mariadb",
}


@pytest.fixture
def database(driver: str, tmp_path: Path) -> Iterator[Database]:
    """Return a database for one test, with the procedures."""
    with DATABASES[DRIVERS[driver]](tmp_path) as found:
        procedures.create(found)
        yield found


class App:
    """The app, its port, and the ledger in which it records its calls."""

    def __init__(self, host: Host, database: Database, driver: str, more: str) -> None:
        self.host, self.database = host, database
        self.port, self._more = free_port(), more
        self.ledger = host.directory / "ledger"
        url = database.url
        if database.kind == "postgresql":
            # Without it PostgreSQL does not check whether the client is still connected.
            url += "?options=-c%20client_connection_check_interval%3D200"
        if driver == "asyncpg" or driver.endswith("_async"):
            url = database.url
        host.environment |= {
            "DATABASE_URL": url,
            "DRIVER": driver,
            "LEDGER": str(self.ledger),
        }
        python = str(SERVERS / "python")
        options = ["--port", str(self.port), "--no-access-log", "procedures_app:app"]
        self._command = [python, "-m", "uvicorn", *options]
        host.start("app", self._command, port=self.port, more=more)

    def declare(self, release: str) -> None:
        """Declare the next release."""
        self.host.declare(
            "app", self._command, port=self.port, release=release, more=self._more
        )

    def noted(self, kind: str) -> list[str]:
        """Return the jobs of the ledger's lines of one kind."""
        text = self.ledger.read_text() if self.ledger.exists() else ""
        return re.findall(rf"^{kind} (\S+)$", text, re.MULTILINE)

    def steps(self) -> dict[str, int]:
        """Return how many steps of each job are in the database."""
        rows = self.database.sql("SELECT job, count(*) FROM written GROUP BY job;")
        found = (line.split("\t") for line in rows.splitlines())
        return {job: int(count) for job, count in found}

    def prove_whole(self) -> None:
        """Check that no procedure was cut, half written, or begun after a refusal."""
        assert self.noted("failed") == []
        begun, ended = self.noted("begin"), set(self.noted("end"))
        refused = set(self.noted("refused"))
        expected = {job: 3 if job.startswith("background") else 4 for job in ended}
        assert self.steps() == expected
        assert not [job for job in refused if job.startswith("request")]
        for process in {job.rpartition("-")[0] for job in begun}:
            own = [job for job in begun if job.rpartition("-")[0] == process]
            # A process may end before it has recorded that its last call was refused.
            after = [job for job in own if job not in ended]
            assert len(set(after) - refused) <= process.startswith("background")
            assert own[len(own) - len(after) :] == after, "one began after a refusal"
        if self.database.kind == "postgresql":
            output = self.database.log.read_text()
            for cut in ("connection to client lost", "open transaction", "Broken pipe"):
                assert cut not in output, output


def release_often(app: App, count: int, *, recycled: bool = False) -> None:
    """Release *count* times under load; no request is lost and no procedure cut."""
    expected = (200, 503) if recycled else (200,)
    traffics = [replace(each, expected=expected) for each in TRAFFICS]
    # A release takes seconds; the load must last until the last one.
    with run_load(app.port, *traffics, seconds=60.0 + 30 * count) as under_load:
        under_load.wait_for_version("1")
        for release in map(str, range(2, count + 2)):
            before = len(app.noted("end"))
            until(lambda b=before: len(app.noted("end")) > b, "a procedure")  # type: ignore[misc]  # bound per round
            app.declare(release)
            report = app.host.json("reload", "app")
            assert report["outcome"] == "done", report
            assert report["procedures"]["cut"] == 0, report
            assert report["cut"] == [], report
            under_load.wait_for_version(release)
        found = under_load.stop()
    assert found.lost == 0, str(found)
    app.host.ok("stop", "app")
    app.prove_whole()
    assert app.noted("refused")
    assert any(job.startswith("request-2") for job in app.noted("end"))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", times(1, 100))
@pytest.mark.parametrize("driver", matrix(DRIVERS, "psycopg"))
def test_releases_cut_no_procedure(
    host: Host, database: Database, driver: str, count: int
) -> None:
    """Every procedure ends whole; a draining process begins none outside a request."""
    release_often(App(host, database, driver, "instances = 2"), count)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", times(1, 20))
@pytest.mark.parametrize("driver", matrix(DRIVERS, "mysqlclient"))
def test_recycles_cut_no_procedure(
    host: Host, database: Database, driver: str, count: int
) -> None:
    """Every procedure ends whole while one instance after the other is recycled."""
    more = "instances = 2\noverlap = false"
    release_often(App(host, database, driver, more), count, recycled=True)


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_what_outlives_the_deadline_is_named_cut_and_rolled_back(
    host: Host, database: Database, driver: str
) -> None:
    """The report names the procedure, and the database has none of its rows.

    MariaDB goes on without the client, and rolls back what the client did not commit.
    """
    name = "write_month" if driver == "pymysql" else "close_month"
    host.environment["PROCEDURE"] = name
    more = "stop = { drain_timeout_s = 0.5, kill_timeout_s = 0.5 }"
    app = App(host, database, driver, more)
    url = f"http://127.0.0.1:{app.port}/call?steps=2&pause_s=30"
    client = subprocess.Popen(["curl", "-s", url])
    try:
        until(lambda: requests(app), "the procedure to begin")
        done = host.gapless("restart", "app")
    finally:
        client.kill()
        client.wait()
    assert done.returncode == 0, done.stdout
    assert f"procedure {name} after" in done.stdout
    sql = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%30%'"
        " AND wait_event = 'PgSleep';",
        "mariadb": "SELECT count(*) FROM information_schema.processlist"
        " WHERE info LIKE 'CALL%';",
    }
    asked = sql[database.kind]
    until(lambda: database.sql(asked).split() == ["0"], "the database to see it", 40)
    (job,) = requests(app)
    assert procedures.steps(database, job) == []
    assert job not in app.noted("end")


def requests(app: App) -> list[str]:
    """Return the jobs that were begun in requests."""
    return [job for job in app.noted("begin") if job.startswith("request")]


@pytest.mark.parametrize("driver", ["psycopg_async"])
def test_the_example_does_what_its_page_says(host: Host, database: Database) -> None:
    """A reload waits for the month to be closed; the next month is for the new release."""
    port = free_port()
    directory = host.directory / "procedures"
    shutil.copytree(ROOT / "examples" / "procedures", directory)
    database.sql((directory / "schema.sql").read_text())
    host.environment |= {
        "DATABASE_URL": database.url,
        "PATH": f"{SERVERS}:{host.environment['PATH']}",
    }
    page = directory / "gapless.toml"
    text = page.read_text().replace("8006", str(port))
    page.write_text(text)
    host.ok("start", "gapless.toml", cwd=directory)
    until(lambda: wait.answers(port), "the example to answer", 30)
    url = f"http://127.0.0.1:{port}/close/2026-11-01?steps=6"
    request = urllib.request.Request(url, method="POST")
    answers: list[bytes] = []

    def ask() -> None:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answers.append(answer.read())

    client = threading.Thread(target=ask)
    with run_load(port, engine.NEW) as under_load:
        client.start()
        until(lambda: "close_month" in str(host.app("books")), "the procedure")
        page.write_text(text.replace('RELEASE = "1"', 'RELEASE = "2"'))
        report = host.json("reload", "books")
        client.join(30)
        under_load.wait_for_version("2")
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert report["procedures"]["cut"] == 0, report
    assert answers == [b"release 1 closed 2026-11-01\n"]
    count = "SELECT count(*) FROM books WHERE month = '2026-11-01' AND release = '1';"
    assert database.sql(count).split() == ["6"]
    until(lambda: "2" in database.sql("SELECT release FROM books;").split(), "the next")
