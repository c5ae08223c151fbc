"""Keep this host's entry in the record of draining hosts true."""

from __future__ import annotations

from gapless.base import clock
from gapless.coordinator.leases import Clock
from gapless.rollout.drain_rights import DrainRights

STALE_S = 300.0
"""How long a host is in the record and does not drain, before it is removed."""
CHECK_S = 60.0
"""How often a host that does not drain reads the record."""


class DrainEntry:
    """Writes and removes the entry, also after a command or an agent died."""

    def __init__(self, rights: DrainRights, host: str, now: Clock) -> None:
        self._rights, self._host, self._now = rights, host, now
        self._stale_since: float | None = None
        """Since when the host is in the record and does not drain."""
        self._check_at = 0.0

    def update(self, *, drains: bool) -> None:
        """Write that this host drains, or after `STALE_S` that it no longer does.

        A command that was just given the right has not begun to drain yet.  Raises
        UnavailableError.
        """
        now = self._now()
        if not drains and now < self._check_at:
            return
        self._check_at = now + CHECK_S
        is_listed = self._host in self._rights.draining()
        if drains and not is_listed:
            self._rights.force(self._host, clock.stamp(clock.wall()))
        if drains or not is_listed:
            self._stale_since = None
        elif self._stale_since is None:
            self._stale_since = now
        elif now >= self._stale_since + STALE_S:
            self._rights.give_back(self._host)
