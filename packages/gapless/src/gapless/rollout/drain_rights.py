"""Which hosts of a fleet drain by hand: one record, `drains/APP`, by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Collection

from gapless.base.errors import ConflictError, UnavailableError
from gapless.coordinator.model import ABSENT, Coordinator
from gapless.rollout import records

TRIES = 20
Refusal = Callable[[Collection[str]], str]
"""Takes the other hosts that drain; returns why one more must not, or nothing."""


class DrainRights:
    """The rights to drain of one app's hosts.  Methods raise UnavailableError."""

    def __init__(self, coordinator: Coordinator, app: str) -> None:
        self._coordinator, self._key = coordinator, f"drains/{app}"

    def draining(self) -> dict[str, str]:
        """Return the hosts that drain, each with the time of its own clock, for people."""
        return self._read()[0]

    def take(self, host: str, at: str, refusal: Refusal) -> str:
        """Take the right to drain; return why it is refused, or nothing.

        A host that has the right keeps it: no other host counts on it.  Raises
        ConflictError.
        """
        for _ in range(TRIES):
            found, version = self._read()
            if host in found:
                return ""
            if refused := refusal(found.keys()):
                return refused
            try:
                self._write({**found, host: at}, version)
            except ConflictError:
                continue
            # Asked again: another host may have begun before it could see the right.
            refused = refusal(self.draining().keys() - {host})
            if refused:
                self.give_back(host)
            return refused
        raise ConflictError(f"{self._key}: other hosts write faster than this one")

    def force(self, host: str, at: str) -> None:
        """Write down that a host drains, whatever the others do.

        Raises ConflictError.
        """
        self.take(host, at, lambda _: "")

    def give_back(self, host: str) -> bool:
        """Remove a host from the record; return whether it was there.

        Raises ConflictError.
        """
        for _ in range(TRIES):
            found, version = self._read()
            if found.pop(host, None) is None:
                return False
            try:
                self._write(found, version)
            except ConflictError:
                continue
            return True
        raise ConflictError(f"{self._key}: other hosts write faster than this one")

    def _read(self) -> tuple[dict[str, str], int]:
        entry = self._coordinator.read(self._key)
        if entry is None:
            return {}, ABSENT
        try:
            return records.decode_draining(entry.value), entry.version
        except ValueError as error:
            raise UnavailableError(
                f"{self._key} cannot be trusted: {error}",
                hint="remove the record once no host drains",
            ) from error

    def _write(self, hosts: dict[str, str], expected: int) -> None:
        content = records.encode_draining(hosts)
        self._coordinator.write(self._key, content, expected=expected)
