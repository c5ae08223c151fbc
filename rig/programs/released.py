"""A numbered app that is released under load, and what that takes of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rig.hosts.host import Host, temporary_host
from rig.hosts.usage import children, children_s, processor_s
from rig.load.process import Load, run_load
from rig.load.traffic import Traffic
from rig.programs.numbered import Numbered

LONGEST_S = 3600.0
REST_S = 0.5
"""So long nothing happens before each release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time in which something was done, or nothing."""

    began: float
    ended: float

    @property
    def took_s(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(slots=True)
class Spent:
    """The processor time of a host's processes, in seconds."""

    supervisor: float = 0.0
    keeper: float = 0.0
    relay: float = 0.0
    app: float = 0.0


class Account:
    """Counts the processor time of a host: it has one app, and one relay at a time."""

    def __init__(self, host: Host) -> None:
        self._host, self._pids = host, (host.supervisor_pid(), host.keeper_pid())
        self._relays: dict[int, float] = {}
        self._at_start = self._now()

    def relay(self) -> int | None:
        """Return the pid of the relay that runs."""
        return next(iter(self._living()[0]), None)

    def _living(self) -> tuple[list[int], list[int]]:
        """Return the relays, and the processes of the app."""
        found: tuple[list[int], list[int]] = ([], [])
        for pid in children(self._pids[1]):
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            found[not title.startswith(b"gapless relay")].append(pid)
        return found

    def _now(self) -> Spent:
        relays, apps = self._living()
        for pid in relays:
            self._relays[pid] = processor_s(pid)
        # The keeper has waited for what is gone: old processes, and relays.
        gone = children_s(self._pids[1])
        gone -= sum(s for pid, s in self._relays.items() if pid not in relays)
        return Spent(
            supervisor=processor_s(self._pids[0]),
            keeper=processor_s(self._pids[1]),
            relay=sum(self._relays.values()),
            app=gone + sum(_with_children_s(pid) for pid in apps),
        )

    def spent(self) -> Spent:
        """Return what was spent since the last call."""
        before, self._at_start = self._at_start, self._now()
        after = self._at_start
        return Spent(
            supervisor=after.supervisor - before.supervisor,
            keeper=after.keeper - before.keeper,
            relay=after.relay - before.relay,
            app=after.app - before.app,
        )


def _with_children_s(pid: int) -> float:
    try:
        own = processor_s(pid) + children_s(pid)
    except OSError:
        return 0.0
    return own + sum(map(_with_children_s, children(pid)))


@dataclass(slots=True)
class Run:
    """An app that was released under load."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    releases: list[Window] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    lost: int = 0
    different: str = ""

    @property
    def trouble(self) -> str:
        """What was wrong beside lost requests; empty if nothing."""
        not_taken = {each["not_taken_over"] for each in self.reports} - {None}
        return " ".join([*not_taken, self.different]).strip()

    def total(self, of: Callable[[Spent], float]) -> float:
        """Return a sum over all releases."""
        return sum(map(of, self.spent))

    @property
    def taken(self) -> int:
        """How many connections were taken over."""
        return sum((each["connections"] or {})["taken_over"] for each in self.reports)


@contextmanager
def under_load(
    program: str, more: str, traffics: tuple[Traffic, ...]
) -> Iterator[tuple[Numbered, Load, Run]]:
    """Run a program under a load, on a host of its own.

    When the block ends, the run knows its requests.
    """
    with temporary_host("gapless-bench-") as host:
        app, found = Numbered(host, program, more), Run()
        app.start()
        load = run_load(app.port, *traffics, seconds=LONGEST_S, ledger=app.ledger)
        with load as running:
            running.wait_for(100)
            yield app, running, found
            found.lost = running.stop().lost
        with app.ledger.open() as ledger:
            found.requests = [json.loads(line) for line in ledger]
        different = app.difference(traffics)
        found.different = str(different) if different else ""


def release(app: Numbered, number: int, found: Run) -> None:
    """Release once more, after a rest, and note what it took."""
    time.sleep(REST_S)
    account = Account(app.host)
    began = time.monotonic()
    report = app.release(number)
    found.releases.append(Window(began=began, ended=time.monotonic()))
    found.spent.append(account.spent())
    found.reports.append(report)
