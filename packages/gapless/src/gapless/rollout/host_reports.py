"""The reports of an app's hosts: `hosts/APP/HOST`, each written by its own agent only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from gapless.base.errors import ConflictError
from gapless.coordinator.model import ABSENT, Coordinator
from gapless.rollout import records
from gapless.rollout.liveness import Liveness
from gapless.rollout.model import HostReport
from gapless.rollout.record_reader import RecordReader

TRIES = 20


class HostReports:
    """Reads every report, writes this host's.  Methods raise UnavailableError."""

    def __init__(
        self,
        coordinator: Coordinator,
        app: str,
        agent_id: str,
        reader: RecordReader,
        liveness: Liveness,
    ) -> None:
        self._coordinator, self._app, self._agent_id = coordinator, app, agent_id
        self._reader, self._liveness = reader, liveness

    def all(self) -> dict[str, HostReport]:
        """Return the report of every host by its name, alive or not."""
        return {report.host: report for report, _ in self._read()}

    def live(self, gone_s: float) -> list[HostReport]:
        """Return the reports of the hosts with a heartbeat within *gone_s*, or theirs."""
        found = list(self._read())
        now = self._liveness.now()
        return [
            report
            for report, seen_at in found
            if now - seen_at < report.gone_after_s(gone_s)
        ]

    def own(self, host: str) -> tuple[HostReport, int]:
        """Return the last report of this host, and the version of its record."""
        key = self._key(host)
        entry = self._coordinator.read(key)
        if entry is None:
            return HostReport(host=host), ABSENT
        found = self._reader.read(key, entry, _of(host))
        return found or HostReport(host=host), entry.version

    def write(self, report: HostReport, version: int) -> int:
        """Write the report of this host; return the version of its record.

        Raises ConflictError: another agent uses the same host name.
        """
        key = self._key(report.host)
        content = records.encode_host(replace(report, agent=self._agent_id))
        for _ in range(TRIES):
            try:
                return self._coordinator.write(key, content, expected=version).version
            except ConflictError:
                entry = self._coordinator.read(key)
                version = entry.version if entry else ABSENT
                found = entry and self._reader.read(key, entry, _of(report.host))
                if found and found.agent != self._agent_id:
                    break
                # Otherwise it is our own: the answer to its write was lost.
        raise ConflictError(
            f"{self._app}: another agent uses the host name {report.host}",
            hint="give each agent its own name: gapless agent --host NAME",
        )

    def remove(self, host: str) -> bool:
        """Remove the report of a host; return whether there was one."""
        entry = self._coordinator.read(self._key(host))
        if entry is None:
            return False
        self._coordinator.remove(self._key(host), expected=entry.version)
        return True

    def _key(self, host: str) -> str:
        return f"hosts/{self._app}/{host}"

    def _read(self) -> Iterator[tuple[HostReport, float]]:
        """Yield each report, and when its version was first seen."""
        found = self._coordinator.read_all(f"hosts/{self._app}")
        self._liveness.note_answer()
        start = len(f"hosts/{self._app}/")
        for key, entry in found.items():
            seen_at = self._liveness.seen_at(key, entry.version)
            report = self._reader.read(key, entry, _of(key[start:]))
            if report is not None:
                yield report, seen_at


def _of(host: str) -> Callable[[bytes], HostReport]:
    """Return what decodes the report of a host."""
    return partial(records.decode_host, host=host)
