"""The example of the article with stored procedures, through releases."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.databases.database import Database
from rig.databases.postgresql import postgresql
from rig.hosts.host import ROOT, Host
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until

EXAMPLE = Path("examples") / "procedures-node"
LIBRARY = Path("node") / "gapless-drain"
CLOSING = engine.Traffic(
    kind="closing", concurrency=3, method="POST", path="/close/2026-11"
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Return a database with the schema of the example."""
    with postgresql(tmp_path_factory.mktemp("postgresql")) as found:
        found.sql((ROOT / EXAMPLE / "schema.sql").read_text())
        yield found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the example in a tree with the library and its node_modules."""
    tree = tmp_path_factory.mktemp("procedures")
    without = shutil.ignore_patterns("node_modules", "test", "bench")
    for each in (EXAMPLE, LIBRARY):
        shutil.copytree(ROOT / each, tree / each, ignore=without)
    library = os.path.relpath(LIBRARY, EXAMPLE)
    for words in (["ci"], ["install", "--no-save", library]):
        command = ["npm", *words, "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=tree / EXAMPLE, check=True, timeout=180)
    return tree / EXAMPLE


@pytest.mark.soak
def test_three_releases_close_each_month_whole(
    host: Host, database: Database, installed: Path
) -> None:
    """No request is lost, and each procedure has all of its rows."""
    port = free_port()
    (host.directory / "www" / "log").mkdir(parents=True)
    text = (ROOT / EXAMPLE / "app.json").read_text()
    declared = text.replace("/var/www", str(host.directory / "www"))
    (installed / "app.json").write_text(declared)
    host.environment |= {
        "PORT": str(port),
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGUSER": database.user,
        "PGPASSWORD": database.password,
        "PGDATABASE": database.database,
    }
    host.ok("start", "app.json", "--env", "production", cwd=installed)
    finished = 0
    with run_load(port, engine.NEW, engine.KEEP_ALIVE, CLOSING) as under_load:
        for _ in range(3):
            under_load.wait_for(30)
            until(lambda: "close_month" in names(host), "a month to be closed")
            until(lambda: "send_reminders" in names(host), "a reminder to be sent")
            report = host.json("reload", "example")
            assert report["outcome"] == "done", report
            assert report["procedures"]["cut"] == 0, report
            assert report["cut"] == [], report
            finished += report["procedures"]["finished"]
        under_load.wait_for(30)
        found = under_load.stop()
    assert found.lost == 0, str(found)
    assert finished > 0
    host.ok("stop", "example")
    for table in ("closed", "reminders"):
        rows = f"SELECT step, count(*) FROM {table} GROUP BY step;"
        counts = {line.split()[1] for line in database.sql(rows).splitlines()}
        assert len(counts) == 1, (table, database.sql(rows))


def names(host: Host) -> set[str]:
    """Return the names of the work under way."""
    instances = host.app("example")["instances_detail"]
    running = [each["counts"]["running"] for each in instances if each["counts"]]
    return {one["name"] for each in running for one in each}
