"""The relay itself: when it starts, when it ends, and what its death costs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gapless.client import Client
from gapless.metrics.sample import Sample
from gapless.supervisor.kernel import processes
from rig.fixtures import own_metrics, takeover
from rig.hosts.host import Host
from rig.load.fates import ANSWERED
from rig.load.process import run_load
from rig.load.unresting import GET, POST, SLOW_BODY
from rig.matrix import matrix, times
from rig.programs.numbered import Numbered
from rig.wait import until

CLIENTS = (GET, POST, SLOW_BODY)


def relays(host: Host) -> list[int]:
    """Return the pids of the relays of a host."""
    children = processes.snapshot().children(host.keeper_pid())
    return [pid for pid in children if _title(pid).startswith("gapless relay")]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@contextlib.contextmanager
def killed_again_and_again(host: Host, every_s: float) -> Iterator[list[int]]:
    """Kill each relay, some time after it was seen; yield the pids."""
    over, killed = threading.Event(), list[int]()

    def kill() -> None:
        while not over.wait(every_s):
            for pid in relays(host):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def measured(host: Host) -> Iterator[list[Sample]]:
    """Yield what the metrics say of a relay that runs meanwhile."""
    found = list[Sample]()

    def look() -> bool:
        found[:] = own_metrics.told(host, "relay")
        return bool(found)

    with ThreadPoolExecutor() as pool:
        seen = pool.submit(until, look, "the metrics of the relay", 60)
        yield found
        seen.result()


@pytest.mark.parametrize("count", times(1, 10))
@pytest.mark.parametrize(
    ("program", "every_s"),
    matrix(
        [("threads", 0.05), ("uvicorn", 0.15), ("threads", 0.4)],
        ("threads", 0.05),
        ("uvicorn", 0.15),
    ),
)
def test_a_relay_that_dies_hangs_nobody(
    host: Host, program: str, every_s: float, count: int
) -> None:
    """Each client gets its answer or a close, and no process stays stopped."""
    # Without a relay the drain ends it all, before a client's time is up.
    app = Numbered(host, program, takeover.configuration(12))
    app.start()
    deaths, seconds = 0, 120.0 * count
    with run_load(app.port, *CLIENTS, seconds=seconds, ledger=app.ledger) as under_load:
        under_load.wait_for_version("1")
        for number in range(2, count + 2):
            with killed_again_and_again(host, every_s) as killed:
                app.release(number)
                under_load.wait_for_version(str(number))
            deaths += len(killed)
        report = under_load.stop()
    assert report.fates.keys() <= {ANSWERED, "closed", "truncated", "reset"}, report
    # Each death costs at most what the relay carried.
    most = sum(each.concurrency for each in CLIENTS) * max(1, deaths)
    assert report.lost <= most, str(report)
    assert not app.difference(CLIENTS).doubled
    pids = host.app("app")["pids"]
    states = [found.state for found in processes.read_all(pids).values()]
    assert not set(states) & {"t", "T"}, states


def test_a_relay_ends_with_its_last_connection(host: Host) -> None:
    """It starts when a release finds connections open, and leaves nothing."""
    app = Numbered(host, "uvicorn", takeover.CONFIGURATION)
    app.start()
    app.release(2)
    assert not relays(host), "nothing was open"
    with run_load(app.port, GET, ledger=app.ledger) as under_load:
        under_load.wait_for_version("2")
        with measured(host) as seen:
            report = app.release(3)
            under_load.wait_for_version("3")
        found = under_load.stop()
    assert {each.name for each in seen} == {
        "gapless_process_memory_bytes",
        "gapless_process_cpu_seconds_total",
    }
    assert report["connections"]["taken_over"] == GET.concurrency
    assert found.lost == 0, str(found)
    until(lambda: not relays(host), "the end of the relay", 20)
    client = Client(str(host.home), starts=False)
    until(lambda: client.request("list")["supervisor"]["relay_pid"] is None, "its note")


def test_takeover_can_be_turned_off(host: Host) -> None:
    """`takeover = false`: connections stay with their process, and no relay starts."""
    # Clients that never pause keep the old generation to the end of its drain.
    app = Numbered(host, "uvicorn", f"{takeover.configuration(2)}\ntakeover = false")
    app.start()
    with run_load(app.port, GET, ledger=app.ledger) as under_load:
        under_load.wait_for_version("1")
        report = app.release(2)
        under_load.stop()
    assert report["connections"]["taken_over"] == 0
    assert report["connections"]["given_back"] == 0
    assert re.search(r"takeover +off", host.ok("describe", "app"))
