"""Which hosts are alive, by their heartbeats, on this host's own clock.

After an outage of the coordinator every host looks silent.  So silence is measured on a
clock that stands still while the coordinator does not answer.
"""

from __future__ import annotations

from gapless.coordinator.leases import Clock
from gapless.coordinator.model import MOST_KEYS

OUTAGE_S = 1.0
"""A longer pause between two answers, beyond the time of a `wait`, is an outage."""
MOST_SEEN = 2 * MOST_KEYS
"""Keys that come and go do not fill this process."""


class Liveness:
    """Since when each record is unchanged."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._seen: dict[str, tuple[int, float]] = {}
        """By key: its version, and when it was first seen."""
        self._answered_at, self._outages_s = now(), 0.0
        """When the coordinator answered last, and how long all outages took."""

    def note_answer(self, waited_s: float = 0.0) -> None:
        """Note that the coordinator has answered, after a `wait` of *waited_s*."""
        now = self._now()
        pause_s = now - self._answered_at - waited_s
        if pause_s > OUTAGE_S:
            self._outages_s += pause_s
        self._answered_at = now

    def seen_at(self, key: str, version: int) -> float:
        """Return when this version of a key was first seen."""
        seen = self._seen.get(key)
        if seen is None or seen[0] != version:
            seen = self._seen[key] = (version, self.now())
            if len(self._seen) > MOST_SEEN:
                del self._seen[next(iter(self._seen))]
        return seen[1]

    def now(self) -> float:
        """Return the time on the clock that stands still during outages."""
        return self._now() - self._outages_s
