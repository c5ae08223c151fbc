"""What is measured of one tool: three starts of it, each under the same strict clients."""

from __future__ import annotations

import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench.compare import facts
from bench.compare.app import App
from bench.compare.tools import Tool
from rig.hosts.processes import kill_all
from rig.hosts.usage import is_alive, processor_s, resident_mb
from rig.load.process import Load, run_load
from rig.load.unresting import GET, POST
from rig.wait import answers, until

RELEASES = 3
IDLE_S = 5.0
REST_S = 2.0
"""So long the load runs before the first release."""
SETTLED_S = 4.0
"""A manager is killed when it has run for so long: what it had to write is written."""
WATCHED_S = 5.0
"""So long the load goes on after the death of a manager."""
BROKEN_S = 15.0
"""So long it goes on after a broken version: granian gives up within 10 s, not within 5."""
GONE_S = 60.0
LATE_S = 20.0
ASKED = 5
"""So often it is asked, at the end, whether it serves."""
LOST_S = 10.0
"""An answer that takes longer is lost."""
TRAFFIC = (
    replace(GET, kind="new", keep_alive=False, pause_s=0.002, timeout_s=LOST_S),
    replace(GET, kind="kept", timeout_s=LOST_S),
    replace(POST, concurrency=2, timeout_s=LOST_S),
)
"""Two clients each: new connections; kept ones that never pause; POST on kept ones."""
KINDS = tuple(each.kind for each in TRAFFIC)


@dataclass(slots=True)
class Gone:
    """Since when the old processes of a release are gone."""

    pids: set[int]
    asked: float
    gone: float | None = None

    def watch(self) -> threading.Thread:
        """Note when they are gone, from another thread."""
        thread = threading.Thread(target=self._wait)
        thread.start()
        return thread

    def _wait(self) -> None:
        with suppress(AssertionError):
            until(
                lambda: not any(map(is_alive, self.pids)), "old processes gone", GONE_S
            )
            self.gone = time.monotonic()

    @property
    def after_s(self) -> float | None:
        """So long after the command they were gone."""
        return None if self.gone is None else self.gone - self.asked


@contextmanager
def running(
    make: Callable[[App], Tool], kind: str
) -> Iterator[tuple[Tool, float, Path]]:
    """Start a tool; yield it, the bare start of its app, and where a ledger may be."""
    with tempfile.TemporaryDirectory(
        prefix="gapless-bench-", ignore_cleanup_errors=True
    ) as made:
        directory = Path(made)
        app = App.make(kind, directory / "app")
        bare_s = app.bare_start_s()
        tool = make(app)
        try:
            tool.start()
            yield tool, bare_s, directory / "ledger"
        finally:
            tool.close()


def measure(
    name: str, make: Callable[[App], Tool], kind: str, seconds: float
) -> facts.Found:
    """Measure a tool; *seconds* is the time of the three releases."""
    with running(make, kind) as (tool, bare_s, ledger):
        memory_mb, cpu_ms = at_rest(tool)
        lost, releases, ratio = released(tool, seconds, ledger)
    with running(make, kind) as (tool, _, ledger):
        broken_lost, code = broken(tool, ledger)
        broken_serves = serves(tool.app.port)
    with running(make, kind) as (tool, _, ledger):
        killed_lost = killed(tool, ledger)
        killed_serves = serves(tool.app.port)
        killed_released = released_again(tool)
    return facts.Found(
        tool=name,
        bare_s=bare_s,
        lost=lost,
        releases=releases,
        p99_ratio=ratio,
        broken_lost=broken_lost,
        broken_code=code,
        broken_serves=broken_serves,
        killed_lost=killed_lost,
        killed_serves=killed_serves,
        killed_released=killed_released,
        memory_mb=memory_mb,
        cpu_ms=cpu_ms,
    )


def at_rest(tool: Tool) -> tuple[float, float]:
    """Return what the tool's own processes use where nothing happens: MB, and ms."""
    time.sleep(REST_S)  # what it had to write at its start is written
    pids = tool.own()
    before = sum(map(processor_s, pids))
    time.sleep(IDLE_S)
    used_s = sum(map(processor_s, pids)) - before
    return sum(map(resident_mb, pids)), used_s * 1000


def released(
    tool: Tool, seconds: float, ledger: Path
) -> tuple[facts.Lost, tuple[facts.Release, ...], float | None]:
    """Release three times under load."""
    windows: list[facts.Window] = []
    gone: list[Gone] = []
    command_s: list[float | None] = []
    with under_load(tool, ledger) as load:
        began = time.monotonic()
        for number in range(RELEASES):
            sleep_until(began + REST_S + number * seconds / RELEASES)
            version = str(number + 2)
            tool.app.write(version)
            gone.append(Gone(tool.serving(), time.monotonic()))
            watch = gone[-1].watch()
            code = tool.release()
            over = time.monotonic()
            command_s.append(None if code is None else over - gone[-1].asked)
            with suppress(AssertionError):
                load.wait_for_version(version, LATE_S)
            watch.join()
            windows.append(
                facts.Window(
                    version=version,
                    asked=gone[-1].asked,
                    ended=max(over, gone[-1].gone or time.monotonic()),
                )
            )
        sleep_until(began + REST_S + seconds)
        load.stop()
    with ledger.open() as lines:
        sent = facts.requests(lines)
    limits = [*(window.asked for window in windows[1:]), float("inf")]
    releases = tuple(
        facts.Release(
            first_new_s=facts.all_new_s(sent, window, limit, ("new",)),
            all_new_s=facts.all_new_s(sent, window, limit, KINDS),
            gone_s=old.after_s,
            command_s=took_s,
        )
        for window, limit, old, took_s in zip(
            windows, limits, gone, command_s, strict=True
        )
    )
    return facts.lost(sent, KINDS), releases, facts.p99_ratio(sent, windows)


def broken(tool: Tool, ledger: Path) -> tuple[facts.Lost, int | None]:
    """Release a version that cannot start."""
    with under_load(tool, ledger) as load:
        tool.app.break_it()
        code = tool.release()
        time.sleep(BROKEN_S)
        load.stop()
    with ledger.open() as lines:
        return facts.lost(facts.requests(lines), KINDS), code


def killed(tool: Tool, ledger: Path) -> facts.Lost:
    """Kill all of the tool's own processes at once, some time after its start."""
    time.sleep(SETTLED_S)
    with under_load(tool, ledger) as load:
        kill_all(set(tool.own()))
        time.sleep(WATCHED_S)
        load.stop()
    with ledger.open() as lines:
        return facts.lost(facts.requests(lines), KINDS)


def released_again(tool: Tool) -> bool:
    """Return whether the next command brings the next version."""
    tool.app.write("2")
    with suppress(OSError):
        tool.release()
    with suppress(AssertionError):
        return until(lambda: version(tool.app.port) == "2", "version 2", LATE_S)
    return False


@contextmanager
def under_load(tool: Tool, ledger: Path) -> Iterator[Load]:
    """Run the clients against a tool."""
    with run_load(tool.app.port, *TRAFFIC, ledger=ledger, seconds=3600) as load:
        load.wait_for(100)
        yield load


def serves(port: int) -> bool:
    """Return whether it answers, each time that it is asked."""
    return all(answers(port) for _ in range(ASKED))


def version(port: int) -> str:
    """Return the version that answers on a port, if one does."""
    with suppress(OSError):
        url = f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(url, timeout=3) as answer:
            return str(answer.read().split()[1].decode())
    return ""


def sleep_until(due: float) -> None:
    """Wait for a moment."""
    time.sleep(max(0.0, due - time.monotonic()))
