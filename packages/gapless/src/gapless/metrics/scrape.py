"""What one scrape reads: the supervisor's list, our own processes, and the fleets.

Rule 1: a scrape costs the supervisor one request, and none if another one asked in this
second.  Rule 2: who does not answer costs a scrape no more than `ANSWER_S`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.metrics import host_samples, rollout_samples
from gapless.metrics.host_samples import Listed, ProcessUsage
from gapless.metrics.rollout_samples import FleetRecords
from gapless.metrics.sample import Sample
from gapless.supervisor.kernel import processes

ANSWER_S = 6.0
"""Prometheus gives up after 10 s, unless it was told otherwise."""
FRESH_S = 1.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Scrapes:
    """Answers scrapes; several at a time are answered from one list."""

    def __init__(
        self,
        ask: Callable[[], Listed],
        fleets: Callable[[], Mapping[str, FleetRecords | None]],
    ) -> None:
        """Use *ask* to have the supervisor's list; it raises GaplessError, in its time."""
        self._ask, self._fleets = ask, fleets
        self._lock = threading.Lock()
        self._listed: Listed | None = None
        self._took_s, self._asked_at = 0.0, -FRESH_S
        self._queue_relays = _Sum()

    def samples(self) -> Iterable[Sample]:
        """Return what is true now."""
        with self._lock:
            if clock.monotonic() - self._asked_at >= FRESH_S:
                self._look()
            listed, took_s = self._listed, self._took_s
            own = self._own_processes(listed)
        found = [*host_samples.of_host(listed, took_s, own)]
        for app, records in self._fleets().items():
            found += rollout_samples.of_fleet(app, records)
        return found

    def _look(self) -> None:
        began = clock.monotonic()
        try:
            self._listed = self._ask()
        except GaplessError:
            self._listed = None
        self._asked_at = clock.monotonic()
        self._took_s = self._asked_at - began

    def _own_processes(self, listed: Listed | None) -> dict[str, ProcessUsage]:
        """Return what the processes of gapless use, by name."""
        own: Mapping[str, Any] = (listed or {}).get("supervisor") or {}
        pids = {
            "metrics": os.getpid(),
            "supervisor": own.get("pid", 0),
            "keeper": own.get("keeper_pid", 0),
            "guardian": own.get("guardian_pid", 0),
            "relay": own.get("relay_pid", 0),
        }
        found = {name: _used(pid) for name, pid in pids.items() if pid}
        if own:  # who does not answer has not said that they ended
            relays = own.get("queue_relay_pids") or ()
            found["queue_relays"] = self._queue_relays.of(relays)
        return {name: used for name, used in found.items() if used is not None}


class _Sum:
    """What several processes of one kind use, of which each lives for a short time."""

    def __init__(self) -> None:
        self._ended_s, self._seen_s = 0.0, dict[int, float]()

    def of(self, pids: Iterable[int]) -> ProcessUsage | None:
        """Return the sum; None if there is none.

        A counter has to grow: the processor time of those that have ended counts on.
        """
        found = {pid: used for pid in pids if (used := _used(pid)) is not None}
        now_s = {pid: used.cpu_s for pid, used in found.items()}
        self._ended_s += sum(
            cpu_s for pid, cpu_s in self._seen_s.items() if now_s.get(pid, -1.0) < cpu_s
        )
        self._seen_s = now_s
        if not found:
            return None
        memory_bytes = sum(used.memory_bytes for used in found.values())
        return ProcessUsage(memory_bytes, self._ended_s + sum(now_s.values()))


def _used(pid: int) -> ProcessUsage | None:
    row = processes.read(pid)
    if row is None:
        return None
    return ProcessUsage(row.rss_bytes, row.cpu_ticks / TICKS_PER_S)
