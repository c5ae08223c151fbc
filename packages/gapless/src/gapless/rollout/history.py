"""How the last rollouts of an app ended.

`history/APP/N`, where N is the number of the rollout modulo `KEPT`: a key that was removed
leaves something behind in the coordinator, so the same keys are used again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any

from gapless.base import clock
from gapless.base.errors import ConflictError
from gapless.coordinator.model import ABSENT, Coordinator
from gapless.rollout import records
from gapless.rollout.model import (
    HostReport,
    PastHost,
    PastRollout,
    Phase,
    Rollout,
    signed_by,
)
from gapless.rollout.record_reader import RecordReader

KEPT = 50
MOST_HOSTS = 200
"""A record has a size limit; of more hosts than these only those that failed are kept."""


class History:
    """Reads and writes the history of one app.  Methods raise UnavailableError."""

    def __init__(
        self, coordinator: Coordinator, app: str, reader: RecordReader
    ) -> None:
        self._coordinator, self._app = coordinator, app
        self._prefix = f"history/{app}"
        self._reader = reader

    def add(
        self, rollout: Rollout, outcome: str, reports: Iterable[HostReport]
    ) -> None:
        """Write down how a rollout ended, in the place of an earlier end of it."""
        hosts = {
            report.host: PastHost(
                release=report.release,
                phase=report.phase.value,
                reason=report.reason,
            )
            for report in reports
            if report.turn[0] == rollout.number
        }
        failed = {n: h for n, h in hosts.items() if h.phase == Phase.FAILED.value}
        is_small = len(hosts) <= MOST_HOSTS
        past = PastRollout(
            number=rollout.number,
            release=rollout.release,
            previous=rollout.previous,
            by=rollout.by,
            signed_by=signed_by(rollout),
            began_at=rollout.began_at,
            ended_at=clock.stamp(clock.wall()),
            outcome=outcome,
            reason=rollout.reason,
            changed=len(hosts),
            hosts=hosts if is_small else dict(list(failed.items())[:MOST_HOSTS]),
        )
        key = f"{self._prefix}/{rollout.number % KEPT}"
        entry = self._coordinator.read(key)
        found = entry and self._reader.read(key, entry, self._decode)
        if found and found.number > rollout.number:
            return  # a newer rollout has its key
        expected = entry.version if entry else ABSENT
        content = records.encode_past(past)
        with contextlib.suppress(ConflictError):  # another agent has just written it
            self._coordinator.write(key, content, expected=expected)

    def read(self) -> list[dict[str, Any]]:
        """Return how rollouts ended, oldest first."""
        found = []
        for key, entry in self._coordinator.read_all(self._prefix).items():
            past = self._reader.read(key, entry, self._decode)
            if past is not None:
                found.append(past)
        found.sort(key=lambda each: each.number)
        return [dataclasses.asdict(each) for each in found[-KEPT:]]

    def _decode(self, content: bytes) -> PastRollout:
        """Return how a rollout ended.  Raises ValueError."""
        return records.decode_past(content, self._app)
