"""Stored procedures that Node programs call, with every driver, through releases."""

from __future__ import annotations

import collections
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rig.databases.database import Database
from rig.databases.kinds import DATABASES
from rig.hosts.host import ROOT, Host
from rig.hosts.under_way import procedures_under_way
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix, times
from rig.wait import free_port, until

EXAMPLES = ROOT / "node" / "gapless-drain" / "examples" / "databases"
WAYS = (
    ("pg", "postgresql"),
    ("mysql2", "mariadb"),
    ("knex", "postgresql"),
    ("knex", "mariadb"),
    ("sequelize", "postgresql"),
    ("sequelize", "mariadb"),
)
STEPS = 5
CLOSING = engine.Traffic(kind="closing", concurrency=3, path="/close")
KEPT = engine.Traffic(kind="kept", concurrency=2, path="/close", keep_alive=True)
TRAFFICS = (engine.NEW, CLOSING, KEPT)
IN_A_RECYCLE = tuple(replace(each, expected=(200, 503)) for each in TRAFFICS)


@pytest.fixture(scope="module")
def databases(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Database]]:
    """Return both databases by kind, with the schema of the examples."""
    with ExitStack() as stack:
        found = {}
        for kind, run in DATABASES.items():
            directory = tmp_path_factory.mktemp(kind)
            found[kind] = stack.enter_context(run(directory))
            found[kind].sql((EXAMPLES / f"{kind}.sql").read_text())
        yield found


@dataclass
class Run:
    """One call of a procedure, as the program's ledger has it."""

    kind: str
    was_draining: bool
    """Whether its process was already draining when it made the call."""
    fate: str = "under way"


class Shop:
    """A program, its database, and the ledger in which it records its calls."""

    def __init__(self, host: Host, driver: str, database: Database) -> None:
        self.host, self.database = host, database
        self.port = free_port()
        self.ledger = host.directory / "ledger"
        self.command = ["node", f"{driver}.js"]
        url = database.url.replace("mariadb://", "mysql://")
        host.environment |= {
            "DATABASE_URL": url,
            "LEDGER": str(self.ledger),
            "JOB": "1",
        }

    def start(self, more: str = "") -> None:
        """Start release 1."""
        self.host.start(
            "app", self.command, port=self.port, directory=EXAMPLES, more=more
        )

    def release(self, number: int, more: str = "") -> None:
        """Declare the next release."""
        self.host.declare(
            "app",
            self.command,
            port=self.port,
            release=str(number),
            directory=EXAMPLES,
            more=more,
        )

    def runs(self) -> dict[str, Run]:
        """Return each call, by its name."""
        draining: set[str] = set()
        found: dict[str, Run] = {}
        for line in self.ledger.read_text().splitlines():
            pid, what, *rest = line.split()
            if what == "told":
                draining.add(pid)
            elif what == "asked":
                found[rest[0]] = Run(rest[1], pid in draining)
            else:
                found[rest[0]].fate = " ".join([what, *rest[1:]])
        return found

    def steps(self) -> collections.Counter[str]:
        """Return how many rows each call has written."""
        return collections.Counter(self.database.sql("SELECT run FROM steps;").split())

    def check(self) -> None:
        """Check that no procedure was cut, and no job began in a draining process."""
        runs, steps = self.runs(), self.steps()
        for run, found in runs.items():
            if found.kind == "job" and found.was_draining:
                assert found.fate == "failed Draining", (run, found)
            if found.fate == "done":
                assert steps[run] == STEPS, (run, found, steps[run])
            else:
                # A job that was called in the moment of the stop has not begun.
                assert found.fate == "failed Draining", (run, found)
                assert found.kind == "job", (run, found)
                assert steps[run] == 0, (run, found)
        kinds = collections.Counter((each.kind, each.fate) for each in runs.values())
        assert kinds["request", "done"] > 0, kinds
        assert kinds["job", "done"] > 0, kinds
        assert kinds["job", "failed Draining"] > 0, kinds


def release_under_load(
    host: Host, driver: str, database: Database, count: int, more: str
) -> None:
    """Release *count* times under load; every procedure is finished whole."""
    shop = Shop(host, driver, database)
    is_recycle = "overlap" in more
    shop.start(more)
    traffics = IN_A_RECYCLE if is_recycle else TRAFFICS
    finished = 0
    with run_load(shop.port, *traffics, seconds=60 + 20 * count) as under_load:
        under_load.wait_for_version("1")
        for number in range(2, count + 2):
            until(lambda: procedures_under_way(host) > 0, "a procedure to be under way")
            shop.release(number, more)
            report = host.json("reload", "app")
            assert report["outcome"] == "done", report
            assert report["procedures"]["cut"] == 0, report
            assert report["requests"]["cut"] == 0, report
            assert report["cut"] == [], report
            finished += report["procedures"]["finished"]
            under_load.wait_for_version(str(number))
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert finished > 0
    # The serving instance stops as well, so its last calls are checked too.
    host.ok("stop", "app")
    shop.check()


@pytest.mark.parametrize("count", times(1, 100))
@pytest.mark.parametrize(
    ("driver", "kind"),
    matrix(WAYS, ("pg", "postgresql")),
)
def test_releases_cut_no_stored_procedure(
    host: Host, databases: dict[str, Database], driver: str, kind: str, count: int
) -> None:
    """Every procedure that began ends, in requests and in a background job."""
    release_under_load(host, driver, databases[kind], count, "instances = 2")


@pytest.mark.parametrize("count", times(1, 100))
@pytest.mark.parametrize(("driver", "kind"), matrix(WAYS, ("pg", "postgresql")))
def test_recycles_cut_no_stored_procedure(
    host: Host, databases: dict[str, Database], driver: str, kind: str, count: int
) -> None:
    """Every procedure ends before the next instance starts in its seat."""
    release_under_load(
        host, driver, databases[kind], count, "instances = 2\noverlap = false"
    )


@pytest.mark.parametrize(("driver", "kind"), WAYS[:2])
def test_a_procedure_that_outlives_the_deadline_is_named_and_rolled_back(
    host: Host, databases: dict[str, Database], driver: str, kind: str
) -> None:
    """The report names the procedure that was cut, and the database rolls it back."""
    shop = Shop(host, driver, databases[kind])
    del host.environment["JOB"]
    shop.start("stop = { drain_timeout_s = 0.5, kill_timeout_s = 0.5 }")
    client = subprocess.Popen(["curl", "-s", f"http://127.0.0.1:{shop.port}/slow"])
    try:
        until(lambda: procedures_under_way(host), "the procedure to begin")
        until(lambda: is_writing(shop.database), "the procedure to write")
        done = host.gapless("restart", "app")
    finally:
        client.kill()
        client.wait()
    assert done.returncode == 0, done.stdout
    assert "1 request and 1 procedure" in done.stdout
    assert "procedure close_slowly after" in done.stdout
    until(lambda: not is_writing(shop.database), "the database to end it", 30)
    (run,) = shop.runs()
    assert shop.steps()[run] == 0


def is_writing(database: Database) -> bool:
    """Return whether the slow procedure runs in the database."""
    text = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
        "AND query LIKE 'CALL close_slowly%';",
        # innodb_trx is no good here: it shows old values while it is read often.
        "mariadb": "SELECT count(*) FROM information_schema.processlist "
        "WHERE command = 'Query' AND id <> CONNECTION_ID();",
    }[database.kind]
    return int(database.sql(text)) > 0


def test_the_pages_show_what_the_examples_do() -> None:
    """Each code block of the page is in the example that the page names before it."""
    page = (ROOT / "docs" / "databases-node.md").read_text()
    shown = set()
    for part in page.split("\n## "):
        for block in part.split("```js\n")[1:]:
            name = part.partition("databases/")[2].partition(".js")[0] + ".js"
            text = (EXAMPLES / name).read_text()
            for line in block.partition("```")[0].splitlines():
                assert line.strip() in text, (name, line)
            shown.add(Path(name).stem)
    assert shown >= {driver for driver, _ in WAYS}
