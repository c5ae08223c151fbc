"""Celery itself, with each of its pools, which drains while tasks run and wait."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from gapless_drain.testing import FakeSupervisor

from rig.databases import procedures
from rig.databases.database import Database
from rig.hosts.host import APPS, SERVERS
from rig.matrix import matrix
from rig.wait import until

PROCESSES = {"solo": 1, "threads": 1, "prefork": 3}
"""The pools, and how many processes connect: the children of a pool do as well."""
SEND = """
import sys, celery_app
celery_app.close_month.delay(sys.argv[1], float(sys.argv[2]))
"""


@pytest.mark.parametrize("pool", matrix(PROCESSES, "prefork"))
def test_tasks_are_finished_and_none_is_taken_up(
    pool: str, tmp_path: Path, databases: dict[str, Database]
) -> None:
    """The process ends by itself; a task that came too late is run by the next one."""
    database, ledger = databases["postgresql"], tmp_path / "ledger"
    (tmp_path / "broker").mkdir()
    with FakeSupervisor() as supervisor:
        environment = {
            **os.environ,
            "LEDGER": str(ledger),
            "BROKER": str(tmp_path / "broker"),
            "DATABASE_URL": database.url,
        }

        def send(job: str, seconds: float) -> None:
            command = [str(SERVERS / "python"), "-c", SEND, job, str(seconds)]
            subprocess.run(command, cwd=APPS, env=environment, check=True, timeout=60)

        def start(pool: str, **more: str) -> subprocess.Popen[bytes]:
            celery = [str(SERVERS / "celery"), "-A", "celery_app", "worker", "-c", "2"]
            with (tmp_path / "log").open("ab") as log:
                return subprocess.Popen(
                    [*celery, "-P", pool, "-l", "info", "--without-mingle"],
                    cwd=APPS,
                    env=environment | more,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

        process = start(pool, **supervisor.environ)
        try:
            supervisor.wait_for(processes=PROCESSES[pool], timeout_s=60)
            send(f"{pool} first", 2)
            until(lambda: ledger.exists() and ledger.read_text(), "the task", 30)
            supervisor.order("drain recycle")
            supervisor.wait_for(mode="recycle", procedures=1)
            named = [process.counts["running"] for process in supervisor.processes]
            assert "close the month" in str(named)
            send(f"{pool} second", 0)
            process.wait(60)
            assert ledger.read_text() == f"begin {pool} first\n"
            assert procedures.steps(database, f"{pool} first") == ["1", "2", "3"]
            process = start("solo")
            until(lambda: procedures.steps(database, f"{pool} second"), "the other", 30)
            process.terminate()
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
