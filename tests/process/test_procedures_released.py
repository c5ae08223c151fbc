"""Stored procedures that outlive their request, in real databases, through releases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.databases.database import Database
from rig.databases.kinds import DATABASES
from rig.hosts.host import SERVERS, Host
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix, times
from rig.wait import free_port, until

PLAIN = [sys.executable, "jobs.py"]
NAMING = [str(SERVERS / "python"), "jobs.py"]
WORK = {
    "postgresql": """
        CREATE TABLE done (job text, what text);
        CREATE PROCEDURE work(job text, s float) LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO done VALUES (job, 'begin'); PERFORM pg_sleep(s);
        INSERT INTO done VALUES (job, 'end'); END $$;""",
    "mariadb": """
        CREATE TABLE done (job varchar(40), what varchar(10)) ENGINE=InnoDB;
        DELIMITER //
        CREATE PROCEDURE work(job varchar(40), s float) BEGIN
        INSERT INTO done VALUES (job, 'begin'); DO SLEEP(s);
        INSERT INTO done VALUES (job, 'end'); END //""",
}
BUSY = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL%'"
    " AND state = 'active'",
    "mariadb": "SELECT count(*) FROM information_schema.processlist"
    " WHERE command <> 'Sleep' AND id <> connection_id() AND user = 'app'",
}


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Return each database in turn, with a slow procedure."""
    with DATABASES[request.param](tmp_path) as found:
        found.sql(WORK[found.kind])
        yield found


only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


class Jobs:
    """The app rig/apps/jobs.py on a host."""

    def __init__(self, host: Host, database: Database, command: list[str]) -> None:
        self.host, self.database, self.command = host, database, command
        self.port, self.ledger = free_port(), host.directory / "ledger"
        host.environment |= {
            "LEDGER": str(self.ledger),
            "DATABASE": database.kind,
            "DATABASE_PORT": str(database.port),
        }
        if command is NAMING:
            host.environment["NAMED"] = "1"

    def start(self, more: str) -> None:
        """Start release 1."""
        self.more = more
        self.host.start("jobs", self.command, port=self.port, more=more)

    def declare(self, release: str) -> None:
        """Declare another release."""
        self.host.declare(
            "jobs", self.command, port=self.port, release=release, more=self.more
        )

    def begin(self, seconds: float) -> None:
        """Begin a job of so many seconds; it runs on in the background."""
        url = f"http://127.0.0.1:{self.port}/job?s={seconds}"
        subprocess.run(["curl", "-sf", "-XPOST", url], check=True, timeout=20)

    def lost(self) -> set[str]:
        """Return the accepted jobs that did not end in the database, once none runs."""
        until(lambda: self.running() == 0, "every procedure to end", 60)
        rows = self.database.sql("SELECT job FROM done WHERE what = 'end'")
        return set(self.ledger.read_text().split()) - set(rows.split())

    def running(self) -> int:
        """Return how many procedures the database runs."""
        return int(self.database.sql(BUSY[self.database.kind]))

    def rows(self) -> int:
        """Return how many rows are committed."""
        return int(self.database.sql("SELECT count(*) FROM done"))


def outgoing(database: Database, *more: str) -> str:
    """Return settings with which gapless watches the calls to a database."""
    return "\n".join([f"outgoing = [{database.port}]", *more])


@pytest.mark.parametrize("count", times(1, 2))
@pytest.mark.parametrize("watched", [True, False])
def test_releases_under_load_cut_procedures_only_if_nobody_watches(
    host: Host, database: Database, watched: bool, count: int
) -> None:
    """For an app without the drain library, `outgoing` decides whether calls are cut."""
    jobs = Jobs(host, database, PLAIN)
    jobs.start(outgoing(database) if watched else "")
    asking = engine.Traffic(kind="jobs", method="POST", path="/job?s=3", pause_s=0.3)
    with run_load(jobs.port, asking, engine.NEW) as under_load:
        under_load.wait_for_version("1")
        for release in map(str, range(2, 2 + count)):
            until(lambda: jobs.running() >= 2, "procedures to run")
            jobs.declare(release)
            report = host.json("reload", "jobs")
            assert report["outcome"] == "done", report
            assert report["cut"] == [], report
            if watched:
                assert report["outgoing"]["seen"] >= 1, report
                assert report["outgoing"]["cut"] == 0, report
            else:
                assert report["outgoing"] is None
            under_load.wait_for_version(release)
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert (jobs.lost() == set()) == watched


@only_postgresql
@pytest.mark.parametrize(
    "act",
    matrix(["stop", "restart", "recycle", "scale", "shutdown"], "stop", "recycle"),
)
def test_every_stop_waits_for_what_was_asked(
    host: Host, database: Database, act: str
) -> None:
    """Every command that ends an instance waits for the answer of the database."""
    jobs = Jobs(host, database, PLAIN)
    jobs.start(outgoing(database, "instances = 2"))
    jobs.begin(3)
    jobs.begin(3)
    match act:
        case "recycle":
            host.ok("reload", "jobs", "--recycle")
        case "scale":
            host.ok("scale", "jobs", 1)
        case "shutdown":
            host.ok("shutdown")
        case _:
            host.ok(act, "jobs")
    assert jobs.running() == 0
    assert jobs.lost() == set()


@only_postgresql
@pytest.mark.parametrize("overlap", ["true", "false"])
def test_a_call_that_outlives_the_deadline_is_named_and_rolled_back(
    host: Host, database: Database, overlap: str
) -> None:
    """The report names the connection of the call that was cut, and its age."""
    jobs = Jobs(host, database, PLAIN)
    more = "stop = { drain_timeout_s = 1.2, kill_timeout_s = 0.5 }"
    jobs.start(outgoing(database, more, f"overlap = {overlap}"))
    jobs.begin(60)
    done = host.gapless("restart", "jobs")
    assert done.returncode == 0, done.stdout + done.stderr
    where = f"connection to 127.0.0.1:{database.port}, the answer outstanding for"
    assert "calls outstanding 1, answered 0, cut 1" in done.stdout
    assert f"cut: 1 call of pid {jobs_pid(jobs)} ({where}" in done.stdout
    assert "not idle after 1.2 s" in done.stdout
    report = host.app("jobs")["last_report"]
    (cut,) = report["cut"]
    assert cut["names"][0]["to"] == f"127.0.0.1:{database.port}"
    assert cut["names"][0]["for_s"] >= 1
    until(lambda: jobs.running() == 0, "the database to roll back")
    assert jobs.rows() == 0


def jobs_pid(jobs: Jobs) -> str:
    """Return the pid of the instance that accepted the first job."""
    return jobs.ledger.read_text().partition("-")[0]


@only_postgresql
@pytest.mark.parametrize("overlap", ["true", "false"])
def test_a_procedure_that_outlives_the_deadline_is_named_and_rolled_back(
    host: Host, database: Database, overlap: str
) -> None:
    """If the app counts, the report has the app's own name of the procedure and its age."""
    jobs = Jobs(host, database, NAMING)
    more = "stop = { drain_timeout_s = 1.2, kill_timeout_s = 0.5 }"
    jobs.start(f"{more}\noverlap = {overlap}")
    jobs.begin(60)
    jobs.begin(0.1)
    name = f"work {jobs_pid(jobs)}-0"
    done = host.gapless("restart", "jobs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"and 1 procedure of pid {jobs_pid(jobs)} (procedure {name}" in done.stdout
    assert f"not idle after 1.2 s: procedure {name}" in done.stdout
    procedures = host.app("jobs")["last_report"]["procedures"]
    assert procedures["cut"] == 1
    (cut,) = procedures["cut_named"]
    assert cut["name"] == name
    assert cut["for_s"] >= 1.2
    until(lambda: jobs.running() == 0, "the database to roll back")
    rows = jobs.database.sql("SELECT DISTINCT job FROM done").split()
    assert rows == [f"{jobs_pid(jobs)}-1"]


@only_postgresql
def test_procedures_that_finish_are_named_with_their_durations(
    host: Host, database: Database
) -> None:
    """The report and the command's output have the name and the duration."""
    jobs = Jobs(host, database, NAMING)
    jobs.start("")
    jobs.begin(2.5)
    name = f"work {jobs_pid(jobs)}-0"
    done = host.gapless("restart", "jobs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"procedure {name}, 2." in done.stdout
    procedures = host.app("jobs")["last_report"]["procedures"]
    assert procedures["finished"] == 1
    (finished,) = procedures["finished_named"]
    assert finished["name"] == name
    assert 2.5 <= finished["for_s"] < 10
    assert jobs.lost() == set()


@only_postgresql
def test_procedures_are_listed_by_name_and_since_when(
    host: Host, database: Database
) -> None:
    """`list`, `describe` and `procedures` name the procedures of an app that counts."""
    jobs = Jobs(host, database, NAMING)
    jobs.start("stop = { drain_timeout_s = 0.1 }")
    jobs.begin(60)
    name = f"work {jobs_pid(jobs)}-0"
    (row,) = host.json("list")["apps"]
    assert row["procedures"] == 1
    assert row["procedures_named"][0]["name"] == name
    assert f"1: {name} since " in host.ok("list")
    described = host.ok("describe", "jobs").splitlines()
    (line,) = [line for line in described if line.endswith(f" s  {name}")]
    assert line.startswith("1.0       procedure  ")
    output = host.ok("procedures", "jobs").splitlines()
    assert output[0].split() == [
        "app",
        "instance",
        "under",
        "way",
        "pid",
        "since",
        "for",
        "name",
    ]
    assert output[1].endswith(f" s  {name}")
    (found,) = host.json("procedures", "all")
    (procedure,) = found["procedures"]
    assert procedure["name"] == name
    assert procedure["pid"] == int(jobs_pid(jobs))
    assert procedure["for_s"] > 0


@only_postgresql
def test_of_an_app_that_does_not_count_the_calls_are_listed(
    host: Host, database: Database
) -> None:
    """`procedures` lists calls only while an answer is outstanding."""
    jobs = Jobs(host, database, PLAIN)
    jobs.start(outgoing(database))
    jobs.begin(0.1)
    until(lambda: not host.json("procedures", "jobs")[0]["outgoing"], "the answer")
    jobs.begin(2)
    output = host.ok("procedures", "jobs").splitlines()
    assert f"connection to 127.0.0.1:{database.port}, the answer" in output[1]
    assert "it does not count, so it names no procedures" in output[2]
    assert f"ports {database.port}" in host.ok("describe", "jobs")


@only_postgresql
def test_a_host_that_drains_waits_for_procedures_and_calls(
    host: Host, database: Database
) -> None:
    """`drain` waits for the procedures that an app counts and for watched calls."""
    jobs = Jobs(host, database, NAMING)
    jobs.start(outgoing(database))
    jobs.begin(2.5)
    name = f"work {jobs_pid(jobs)}-0"
    output = host.ok("drain")
    assert f"jobs: 0 requests, 1 procedure, 1 call under way ({name} since" in output
    assert "jobs: drained" in output
    assert jobs.running() == 0
    assert jobs.lost() == set()


@only_postgresql
@pytest.mark.parametrize("command", [PLAIN, NAMING], ids=["plain", "naming"])
def test_a_trial_that_fails_finishes_the_procedures_it_began(
    host: Host, database: Database, command: list[str]
) -> None:
    """The failed generation began a job at its start, and ends when the job has."""
    jobs = Jobs(host, database, command)
    host.environment["AT_START"] = "2:3"
    watched = outgoing(database) if command is PLAIN else ""
    jobs.start(watched)
    jobs.more = f'{watched}\nready = {{ when = "notify", timeout_s = 1 }}'
    jobs.declare("2")
    report = host.json("reload", "jobs")
    assert report["outcome"] == "failed", report
    assert "did not say that it is ready" in report["reason"]
    assert report["cut"] == []
    finished = report["procedures" if command is NAMING else "outgoing"]
    assert finished["finished"] == 1
    assert jobs.lost() == set()
