"""What coordinators have of this configuration's fleets, read in threads of their own.

A coordinator that hangs keeps no scrape waiting: what was read last is told, as long as it
is fresh.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from gapless.agent.open_store import open_store
from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.config.toml.fleets import Fleet
from gapless.metrics.rollout_samples import FleetRecords

READ_S = 5.0
"""How often the records are read."""
STALE_S = 60.0


class FleetReader:
    """Reads the records of one fleet, again and again."""

    def __init__(self, fleet: Fleet, complain: Callable[[str], None]) -> None:
        """Use *complain* to name records that cannot be understood."""
        self._store = open_store(fleet, complain)
        self._found: FleetRecords | None = None
        self._found_at = 0.0
        self.wakes = threading.Event()
        """Set to end it."""
        self.thread = threading.Thread(target=self._run, daemon=True)

    def last(self) -> FleetRecords | None:
        """Return what was read last; None if the coordinator does not answer."""
        if clock.monotonic() - self._found_at > STALE_S:
            return None
        return self._found

    def read(self) -> None:
        """Read the records once."""
        try:
            rollout, _ = self._store.rollout()
            hosts = self._store.hosts.all()
            holders = self._store.slots("", 1.0).holders()
            self._found = FleetRecords(rollout, hosts, holders)
        except (GaplessError, OSError):
            self._found = None
        self._found_at = clock.monotonic()

    def _run(self) -> None:
        while not self.wakes.wait(READ_S):
            self.read()


class FleetReaders:
    """The fleets of a configuration."""

    def __init__(
        self, fleets: Mapping[str, Fleet], complain: Callable[[str], None]
    ) -> None:
        self._readers = {
            app: FleetReader(fleet, complain) for app, fleet in fleets.items()
        }

    def start(self) -> None:
        """Begin to read."""
        for each in self._readers.values():
            each.thread.start()

    def read(self) -> None:
        """Read all of them once, now."""
        for each in self._readers.values():
            each.read()

    def __call__(self) -> dict[str, FleetRecords | None]:
        """Return what is known, by app."""
        return {app: each.last() for app, each in self._readers.items()}
