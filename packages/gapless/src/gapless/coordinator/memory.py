"""A coordinator in the memory of one process, for tests and simulations."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from gapless.base import clock
from gapless.coordinator import model
from gapless.coordinator.model import ABSENT, Entry


class MemoryCoordinator:
    """Shared by threads; see `model.Coordinator`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: dict[str, Entry] = {}
        self._last_version = 0

    def read(self, key: str) -> Entry | None:
        """Return the entry of a key; None if the key does not exist."""
        with self._changed:
            return self._entries.get(model.check_key(key))

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return every key below `prefix/`."""
        with self._changed:
            return self._below(prefix)

    def write(self, key: str, value: bytes, *, expected: int) -> Entry:
        """Write if the version is still the expected one.  Raises ConflictError."""
        model.check_value(model.check_key(key), value)
        with self._changed:
            self._check_version(key, expected)
            self._last_version += 1
            entry = self._entries[key] = Entry(self._last_version, value)
            self._changed.notify_all()
            return entry

    def remove(self, key: str, *, expected: int) -> None:
        """Remove if the version is still the expected one.  Raises ConflictError."""
        with self._changed:
            self._check_version(model.check_key(key), expected)
            self._entries.pop(key, None)
            self._changed.notify_all()

    def wait(
        self, prefix: str, seen: Mapping[str, int], timeout_s: float
    ) -> dict[str, Entry]:
        """Return every key below `prefix/` once the versions differ from *seen*."""
        deadline = clock.monotonic() + timeout_s
        with self._changed:
            while model.versions(found := self._below(prefix)) == seen:
                left_s = deadline - clock.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    break
            return found

    def close(self) -> None:
        """Keep every entry: other threads may use them."""

    def _below(self, prefix: str) -> dict[str, Entry]:
        start = f"{model.check_key(prefix)}/"
        return {k: e for k, e in sorted(self._entries.items()) if k.startswith(start)}

    def _check_version(self, key: str, expected: int) -> None:
        found = self._entries.get(key)
        version = found.version if found else ABSENT
        if version != expected:
            raise model.conflict(key, expected, version)
