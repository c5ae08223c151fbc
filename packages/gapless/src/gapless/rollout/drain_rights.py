"""Who of a fleet leaves service by hand: one record, `drains/APP`, compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Collection

from gapless.base.errors import ConflictError, UnavailableError
from gapless.coordinator.model import ABSENT, Coordinator
from gapless.rollout import records

TRIES = 20
Judge = Callable[[Collection[str]], str]
"""Is given who else drains; returns why one more must not, or nothing."""


class Rights:
    """The right to drain.  Methods raise UnavailableError."""

    def __init__(self, coordinator: Coordinator, app: str) -> None:
        self._coordinator, self._key = coordinator, f"drains/{app}"

    def draining(self) -> dict[str, str]:
        """Return who drains, and since when by its own clock, for people."""
        return self._read()[0]

    def take(self, host: str, at: str, judge: Judge) -> str:
        """Take the right to drain; return why it is refused, or nothing.

        The right of before is kept: nobody has counted on a host that is in the record.
        """
        for _ in range(TRIES):
            found, version = self._read()
            if host in found:
                return ""
            if refused := judge(found.keys()):
                return refused
            try:
                self._write({**found, host: at}, version)
            except ConflictError:
                continue
            # What was begun before the others could see it is seen now.
            refused = judge(self.draining().keys() - {host})
            if refused:
                self.give_back(host)
            return refused
        raise ConflictError(f"{self._key}: others write faster than we can")

    def give_back(self, host: str) -> bool:
        """Serve again, as far as others count; tell whether it drained."""
        for _ in range(TRIES):
            found, version = self._read()
            if found.pop(host, None) is None:
                return False
            try:
                self._write(found, version)
            except ConflictError:
                continue
            return True
        raise ConflictError(f"{self._key}: others write faster than we can")

    def insist(self, host: str, at: str) -> None:
        """Write down that a host drains, whatever the others do."""
        self.take(host, at, lambda _: "")

    def _read(self) -> tuple[dict[str, str], int]:
        entry = self._coordinator.read(self._key)
        if entry is None:
            return {}, ABSENT
        try:
            hosts = records.decode("drains", entry.value)["hosts"]
            return {str(k): str(v) for k, v in hosts.items()}, entry.version
        except (ValueError, KeyError, AttributeError) as error:
            raise UnavailableError(
                f"{self._key} cannot be trusted: {error}",
                hint="remove the record once no host drains",
            ) from error

    def _write(self, hosts: dict[str, str], expected: int) -> None:
        content = records.encode("drains", {"hosts": hosts})
        self._coordinator.write(self._key, content, expected=expected)
