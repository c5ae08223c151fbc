"""RQ itself, which drains while jobs run and wait, and is released under load."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from gapless_drain.testing import FakeSupervisor
from redis import Redis
from rq import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry

from rig.databases import procedures
from rig.databases.database import Database
from rig.databases.redis import redis
from rig.hosts.host import (
    APPS,
    SERVERS,
    Host,
)
from rig.matrix import matrix, times
from rig.wait import until

JOB = "rq_app.call"
FETCH_AND_REFUSE = """
import sys
from gapless_drain import Mode
from redis import Redis
from rq import Queue, Worker
import rq_app

connection = Redis.from_url(sys.argv[1])
queue = Queue("months", connection=connection)
jobs = rq_app.Jobs([queue], connection=connection)
found = Worker.dequeue_job_and_maintain_ttl(jobs, 1)
rq_app.drain.core.enter(Mode.HANDOFF)
jobs.execute_job(*found)
"""


class Months:
    """A queue, the command that runs its jobs, and the ledger of jobs that began."""

    def __init__(self, url: str, database: Database, directory: Path) -> None:
        self.connection = Redis.from_url(url)
        self.queue = Queue("months", connection=self.connection)
        self.database, self._ledger = database, directory / "ledger"
        self._log = directory / "log"
        self.command = [str(SERVERS / "rq"), "worker", "-w", "rq_app.Jobs"]
        self.command += ["--url", url, "months"]
        self.environment = {
            "LEDGER": str(self._ledger),
            "DATABASE_URL": database.url,
            "PYTHONPATH": str(APPS),
        }

    def send(self, procedure: str, job: str) -> None:
        """Queue a job that calls a procedure."""
        self.queue.enqueue(JOB, f"CALL {procedure}", job, job_id=job)

    def begun(self) -> list[str]:
        """Return the jobs that have begun, in order."""
        return self._ledger.read_text().split() if self._ledger.exists() else []

    def start(self, **more: str) -> subprocess.Popen[bytes]:
        """Start a process that runs jobs."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                cwd=APPS,
                env={**os.environ, **self.environment, **more},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def prove_none_is_lost(self) -> None:
        """Fail if a job is waiting, unfinished, or failed."""
        assert self.queue.job_ids == []
        assert self.queue.intermediate_queue.get_job_ids() == []
        assert StartedJobRegistry(queue=self.queue).get_job_ids() == []
        assert FailedJobRegistry(queue=self.queue).get_job_ids() == []


@pytest.fixture
def months(tmp_path: Path, databases: dict[str, Database]) -> Iterator[Months]:
    """Return a queue in a Redis of its own."""
    with redis(tmp_path) as url:
        found = Months(url, databases["postgresql"], tmp_path)
        with found.connection:
            yield found


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children that a failed test left behind."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_job_is_finished_and_none_is_taken_up(months: Months) -> None:
    """The job and its procedure count until they end; jobs that wait stay in the queue."""
    with FakeSupervisor() as supervisor, procedures.gate(months.database) as gate:
        process = months.start(**supervisor.environ)
        try:
            months.send("keep_gate(%s)", "rq-first")
            gate.wait_for(1)
            months.send("keep_gate(%s)", "rq-second")
            # The job counts in the parent, its procedure in the child forked for it.
            supervisor.wait_for(processes=2, procedures=0)
            supervisor.order("drain recycle")
            supervisor.wait_for(processes=2, mode="recycle", procedures=2)
            named = str([each.counts["running"] for each in supervisor.processes])
            assert JOB in named
            assert "'keep_gate'" in named
            gate.open()
            supervisor.wait_for(mode="recycle", procedures=0)
            process.terminate()
            assert process.wait(60) == 0
        finally:
            gate.open()
            end(process)
    assert months.begun() == ["rq-first"]
    assert procedures.steps(months.database, "rq-first") == ["begin", "end"]
    assert months.queue.job_ids == ["rq-second"]


def test_a_signal_cuts_no_job_and_one_that_waits_stays(months: Months) -> None:
    """Without a supervisor too, the job that runs is the last one."""
    with procedures.gate(months.database) as gate:
        process = months.start()
        try:
            months.send("keep_gate(%s)", "rq-third")
            gate.wait_for(1)
            months.send("keep_gate(%s)", "rq-fourth")
            process.terminate()
            gate.open()
            assert process.wait(60) == 0
        finally:
            gate.open()
            end(process)
    assert procedures.steps(months.database, "rq-third") == ["begin", "end"]
    assert months.queue.job_ids == ["rq-fourth"]


def test_a_job_that_was_fetched_too_late_is_put_back(months: Months) -> None:
    """It is the first in the queue again, and has not begun."""
    for job in ("rq-fifth", "rq-sixth"):
        months.send("keep_gate(%s)", job)
    command = [str(SERVERS / "python"), "-c", FETCH_AND_REFUSE, months.command[-2]]
    environment = {**os.environ, **months.environment}
    subprocess.run(command, env=environment, check=True, timeout=60)
    assert months.queue.job_ids == ["rq-fifth", "rq-sixth"]
    assert months.queue.intermediate_queue.get_job_ids() == []
    assert months.begun() == []


class Feed:
    """Keeps the queue filled until `stop`."""

    def __init__(self, months: Months, prefix: str) -> None:
        self._months, self._prefix = months, prefix
        self.sent: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            while len(self._months.queue.job_ids) < 5:
                self.sent.append(f"{self._prefix}-{len(self.sent)}")
                self._months.send("close_month(%s, 3, 0.05)", self.sent[-1])


@pytest.mark.parametrize("count", times(1, 3))
@pytest.mark.parametrize("overlap", matrix(["auto", "false"], "false"))
def test_releases_lose_no_job_and_run_none_twice(
    host: Host, months: Months, overlap: str, count: int
) -> None:
    """There are always jobs in the queue; each is run once, to its end."""
    host.environment |= months.environment
    more = "instances = 2" + "\noverlap = false" * (overlap == "false")
    prefix = f"rq-{overlap}-{count}"

    def declare(release: int) -> None:
        host.declare("months", months.command, port=0, release=str(release), more=more)

    with Feed(months, prefix) as feed:
        declare(1)
        host.ok("start", "months.toml")
        for release in range(2, 2 + count):
            before = len(months.begun())
            until(lambda b=before: len(months.begun()) > b + 4, "jobs to begin", 30)  # type: ignore[misc]  # of this round
            declare(release)
            report: dict[str, Any] = host.json("reload", "months")
            assert report["outcome"] == "done", report
            assert report["cut"] == [], report
            assert report["procedures"]["cut"] == 0, report
        feed.stop()
        until(lambda: set(months.begun()) == set(feed.sent), "the last job", 60)
    host.ok("stop", "months")
    months.prove_none_is_lost()
    assert sorted(months.begun()) == sorted(feed.sent)
    sql = f"SELECT job, count(*) FROM written WHERE job LIKE '{prefix}-%' GROUP BY job;"
    rows = months.database.sql(sql).splitlines()
    assert sorted(rows) == sorted(f"{job}\t3" for job in feed.sent)
