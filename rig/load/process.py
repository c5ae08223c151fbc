"""A load in a process of its own: it shares no interpreter with the test.

It is the fork of a process that has imported the client, since a test run starts hundreds.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rig import wait
from rig.load.client import PACE_S
from rig.load.engine import Engine, Report, Traffic

MEEK = 10
"""The nice(2) value of clients that never pause, where load is not to take all there is."""


Fact = TypeVar("Fact")


class Counts(NamedTuple):
    """How far a load is."""

    answered: int
    lost: int
    versions: dict[str, int]
    """How many answers came from each release."""
    ended: str
    """After what the clients ended by themselves; "" while they send."""


class Load:
    """A load that runs in another process, until `stop`."""

    def __init__(
        self, process: Any, line: multiprocessing.connection.Connection
    ) -> None:
        self._process, self._line = process, line
        self._report: Report | None = None

    def _counts(self) -> Counts:
        self._line.send("counts")
        found: Counts = self._line.recv()
        return found

    def until(
        self, fact: Callable[[], Fact], what: str, timeout_s: float = 30.0
    ) -> Fact:
        """Wait as `wait.until` does for what these clients are to bring about.

        Raises AssertionError at once where they have ended by themselves.
        """

        def found() -> Fact:
            ended = self._counts().ended  # nothing changes after that
            true = fact()
            if ended and not true:
                raise AssertionError(
                    f"the clients ended by themselves after {ended}: {what}; "
                    "`run_load` takes more seconds"
                )
            return true

        return wait.until(found, what, timeout_s)

    def wait_for(self, more: int = 1, timeout_s: float = 30.0) -> None:
        """Wait until *more* requests than now were answered."""
        goal = self.answered() + more
        self.until(lambda: self.answered() >= goal, f"{more} more answers", timeout_s)

    def wait_for_version(self, version: str, timeout_s: float = 30.0) -> None:
        """Wait until an answer came from release *version*."""
        self.until(
            lambda: self.versions().get(version), f"answer of {version}", timeout_s
        )

    def answered(self) -> int:
        """Return how many requests were answered so far."""
        return self._counts().answered

    def lost(self) -> int:
        """Return how many requests were lost so far."""
        return self._counts().lost

    def versions(self) -> dict[str, int]:
        """Return how many answers came from each release so far."""
        return self._counts().versions

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
    began, ended = time.monotonic(), ""

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
            line.send(Counts(answered, lost, dict(versions), ended))

    engine.run(between)
    took_s = time.monotonic() - began
    ended = f"{took_s:.0f} s and {len(engine.ledger.requests)} requests"
    while not engine.stopping:
        line.poll(None)
        between()
    line.send(engine.report())
