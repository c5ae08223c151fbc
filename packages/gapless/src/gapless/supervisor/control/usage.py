"""How much memory and CPU time instances use, from one listing to the next."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import clock
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
        self._most_ticks: dict[str, int] = {}
        """Of each instance; what a process has used is gone with it."""

    def of(self, instance: InstanceRecord) -> dict[str, Any]:
        """Return memory, CPU and the number of processes of an instance."""
        found = self._membership.members(instance).values()
        ticks = sum(process.cpu_ticks for process in found)
        now = clock.monotonic()
        before = self._ticks.get(instance.key, (instance.started, 0))
        if now - before[0] > FRESH_S:
            before = (instance.started, 0)
        self._ticks[instance.key] = (now, ticks)
        spent_s = max(0, ticks - before[1]) / TICKS_PER_S
        return {
            "memory_bytes": sum(process.rss_bytes for process in found),
            "cpu_s": round(self._cpu_s(instance.key, ticks), 2),
            "cpu_percent": round(100 * spent_s / max(now - before[0], 0.01), 1),
            "processes": len(found),
        }

    def _cpu_s(self, key: str, ticks: int) -> float:
        """Return the processor time of an instance, which never goes back."""
        most = self._most_ticks[key] = max(ticks, self._most_ticks.get(key, 0))
        return most / TICKS_PER_S

    def keep(self, keys: set[str]) -> None:
        """Forget every instance that is not among *keys*."""
        self._ticks = {k: v for k, v in self._ticks.items() if k in keys}
        self._most_ticks = {k: v for k, v in self._most_ticks.items() if k in keys}
