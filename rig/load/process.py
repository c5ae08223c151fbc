"""A load in a process of its own: it shares no interpreter with the test.

It is the fork of a process that has imported the client, since a test run starts hundreds.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig import wait
from rig.load.client import PACE_S
from rig.load.engine import Engine, Report, Traffic

MEEK = 10
"""The nice(2) value of clients that never pause, where load is not to take all there is."""


class Load:
    """A load that runs in another process, until `stop`."""

    def __init__(
        self, process: Any, line: multiprocessing.connection.Connection
    ) -> None:
        self._process, self._line = process, line
        self._report: Report | None = None

    def _counts(self) -> tuple[int, int, dict[str, int]]:
        self._line.send("counts")
        answered, lost, versions = self._line.recv()
        return answered, lost, versions

    def wait_for(self, more: int = 1, timeout_s: float = 30.0) -> None:
        """Wait until *more* requests than now were answered."""
        goal = self.answered() + more
        wait.until(lambda: self.answered() >= goal, f"{more} more answers", timeout_s)

    def wait_for_version(self, version: str, timeout_s: float = 30.0) -> None:
        """Wait until an answer came from release *version*."""
        wait.until(
            lambda: self.versions().get(version), f"answer of {version}", timeout_s
        )

    def answered(self) -> int:
        """Return how many requests were answered so far."""
        return self._counts()[0]

    def lost(self) -> int:
        """Return how many requests were lost so far."""
        return self._counts()[1]

    def versions(self) -> dict[str, int]:
        """Return how many answers came from each release so far."""
        return self._counts()[2]

    def stop(self) -> Report:
        """Finish what is in flight; return the report."""
        if self._report is None:
            self._line.send("stop")
            if not self._line.poll(60):
                raise AssertionError("the load does not stop")
            self._report = self._line.recv()
            self._process.join(10)
        assert self._report is not None
        return self._report


@contextmanager
def run_load(
    port: int,
    *traffics: Traffic,
    host: str = "127.0.0.1",
    seconds: float = 120.0,
    ledger: Path | None = None,
) -> Iterator[Load]:
    """Run a load against a port of this machine until the block ends.

    It sends nothing more after *seconds*; *ledger* is a file with a line for each request.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve,
        args=(theirs, (host, port), traffics, seconds, ledger),
        daemon=True,
    )
    process.start()
    theirs.close()
    load = Load(process, ours)
    try:
        yield load
        load.stop()
    finally:
        if process.is_alive():
            process.kill()
        process.join(10)
        process.close()
        ours.close()


def _serve(
    line: multiprocessing.connection.Connection,
    address: tuple[str, int],
    traffics: tuple[Traffic, ...],
    seconds: float,
    ledger: Path | None,
) -> None:
    """Run the load, and answer the test, in the other process."""
    if PACE_S and any(traffic.unresting for traffic in traffics):
        os.nice(MEEK)
    engine = Engine(*address, traffics, seconds=seconds, ledger=ledger)

    def between() -> None:
        while line.poll():
            try:
                message = line.recv()
            except EOFError:
                engine.stopping = True
                return
            if message == "stop":
                engine.stopping = True
                return
            versions = engine.ledger.versions
            answered = sum(versions.values())
            lost = len(engine.ledger.requests) - answered
            line.send((answered, lost, dict(versions)))

    engine.run(between)
    while not engine.stopping:
        line.poll(None)
        between()
    line.send(engine.report())
