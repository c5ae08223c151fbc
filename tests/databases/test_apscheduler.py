"""The example of APScheduler in docs/databases.md, with a job that runs in a drain."""

from __future__ import annotations

import queue
import re
from datetime import UTC, datetime
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.schedulers.base import STATE_PAUSED
from gapless_drain import Drain, Draining
from gapless_drain.testing import FakeSupervisor

from rig.databases import procedures
from rig.databases.database import Database
from rig.hosts.host import ROOT
from rig.wait import until

PAGE = (ROOT / "docs" / "databases.md").read_text()
CALL = "close_month('apscheduler', 3, 0)"


def example() -> str:
    """Return the example; its procedure is one that waits at the gate."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (found,) = (block for block in blocks if CALL in block)
    return found.replace(CALL, "keep_gate('apscheduler-drain')")


def test_the_job_is_finished_and_none_begins(databases: dict[str, Database]) -> None:
    """A job that is due waits, since the scheduler pauses; one that starts is refused."""
    database = databases["postgresql"]
    with FakeSupervisor() as supervisor, procedures.gate(database) as gate:
        drain = Drain(on_signal=None, environ=supervisor.environ)
        names: dict[str, Any] = {"drain": drain, "url": database.url}
        exec(compile(example(), "docs/databases.md", "exec"), names)
        scheduler = names["scheduler"]
        errors: queue.Queue[Any] = queue.Queue()
        scheduler.add_listener(errors.put, EVENT_JOB_ERROR)
        try:
            scheduler.get_jobs()[0].modify(next_run_time=datetime.now(UTC))
            gate.wait_for(1)
            supervisor.wait_for(processes=1)
            supervisor.order("drain recycle")
            supervisor.wait_for(
                mode="recycle", procedures=2
            )  # the job, and what it calls
            until(lambda: scheduler.state == STATE_PAUSED, "the scheduler to pause")
            scheduler.add_job(names["close_month"])
            scheduler.resume()  # as a job does that was due when the drain began
            assert isinstance(errors.get(timeout=30).exception, Draining)
            gate.open()
            supervisor.wait_for(mode="recycle", procedures=0)
        finally:
            gate.open()
            scheduler.shutdown()
            drain.close()
    assert errors.empty()
    assert procedures.steps(database, "apscheduler-drain") == ["begin", "end"]
