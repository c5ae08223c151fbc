"""How much memory and CPU time instances use, from one listing to the next."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import clock
from gapless.supervisor.kernel.processes import Process
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe.membership import Membership

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
FRESH_S = 60.0
"""CPU time is since the last listing if that is not older, else since the start."""


class Usage:
    """Measures instances; remembers their CPU times."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._ticks: dict[str, tuple[float, int]] = {}

    def of(self, instance: InstanceRecord, table: dict[int, Process]) -> dict[str, Any]:
        """Return memory, CPU and the number of processes of an instance."""
        pids = self._membership.members(table, instance)
        ticks = sum(table[pid].cpu_ticks for pid in pids)
        now = clock.monotonic()
        before = self._ticks.get(instance.key, (instance.started, 0))
        if now - before[0] > FRESH_S:
            before = (instance.started, 0)
        self._ticks[instance.key] = (now, ticks)
        spent_s = max(0, ticks - before[1]) / TICKS_PER_S
        return {
            "memory_bytes": sum(table[pid].rss_bytes for pid in pids),
            "cpu_percent": round(100 * spent_s / max(now - before[0], 0.01), 1),
            "processes": len(pids),
        }

    def keep(self, keys: set[str]) -> None:
        """Forget every instance that is not among *keys*."""
        self._ticks = {k: v for k, v in self._ticks.items() if k in keys}
