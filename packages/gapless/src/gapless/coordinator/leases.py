"""Slots that hosts take before they change: so many at once, whoever dies or sleeps.

Rule 1: clocks are never compared.  A holder counts as gone when others have seen its record
unchanged for `ttl_s`, on their own clock; each beat of a holder changes it.
Rule 2: a holder may act until `ttl_s` after it *began* its last beat, on its own clock.
Others cannot have seen that beat before it was begun, so its time is over before theirs.
Rule 3: right before an act the record is read once more: still ours, at our version.  Who
was paused and woken finds his time over, or the record another's.

The clock has to go on while a machine sleeps (CLOCK_BOOTTIME, clock_gettime(2)).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from gapless.base.errors import ConflictError
from gapless.coordinator.model import ABSENT, Coordinator, Entry

Clock = Callable[[], float]
_FREE = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be changing now; `version` is its fence."""

    slot: str
    version: int
    until: float
    """On the holder's clock."""


class Slots:
    """What one host sees of the slots of one app, and holds of them."""

    def __init__(
        self,
        coordinator: Coordinator,
        prefix: str,
        holder: str,
        ttl_s: float,
        now: Clock,
    ) -> None:
        self._coordinator, self._prefix = coordinator, prefix
        self._holder, self._ttl_s, self._now = holder, ttl_s, now
        self._seen: dict[str, tuple[int, float]] = {}
        """By slot: its version, and when it was first seen."""

    def take(self, count: int) -> Lease | None:
        """Take one of *count* slots if one is free, or its holder is gone.

        A slot that this holder has already (the answer to its own write was lost) is taken
        first.  One beyond *count* counts while it is held: there were more when it was
        taken.
        Raises UnavailableError.
        """
        began = self._now()
        found = self._look()
        held = [n for n, each in found.items() if not self._may_take(n, each, began)]
        if len(held) >= count:
            return None
        names = [f"{number}" for number in range(count)]
        own = [name for name in names if _holder(found.get(name)) == self._holder]
        for name in dict.fromkeys([*own, *names]):
            if self._may_take(name, found.get(name), began):
                try:
                    return self._beat(name, found.get(name), began)
                except ConflictError:
                    continue  # somebody else was faster
        return None

    def beat(self, lease: Lease) -> Lease | None:
        """Go on holding; None if it is lost.  Raises UnavailableError."""
        began = self._now()
        entry = self._coordinator.read(f"{self._prefix}/{lease.slot}")
        if entry is None or entry.version != lease.version:
            return None
        try:
            return self._beat(lease.slot, entry, began)
        except ConflictError:
            return None

    def may_act(self, lease: Lease) -> bool:
        """Tell, right before an act, whether it is held.  Raises UnavailableError."""
        entry = self._coordinator.read(f"{self._prefix}/{lease.slot}")
        is_ours = entry is not None and entry.version == lease.version
        return is_ours and self._now() < lease.until

    def give_back(self, lease: Lease) -> None:
        """Let others have it at once; one that is lost already is not touched.

        The lease must not be used any more, also if this raises UnavailableError.
        """
        key = f"{self._prefix}/{lease.slot}"
        try:
            self._coordinator.write(key, _record(_FREE), expected=lease.version)
        except ConflictError:
            return

    def holders(self) -> dict[str, str]:
        """Return who holds which slot, as its record says."""
        found = {name: _holder(entry) for name, entry in self._look().items()}
        return {name: holder for name, holder in found.items() if holder}

    def _look(self) -> dict[str, Entry]:
        """Read the slots; remember since when each of them is as it is."""
        found = self._coordinator.read_all(self._prefix)
        seen_at = self._now()  # not before: an answer may have taken its time
        start = len(self._prefix) + 1
        entries = {key[start:]: entry for key, entry in found.items()}
        for name, entry in entries.items():
            if self._seen.get(name, (ABSENT, 0.0))[0] != entry.version:
                self._seen[name] = (entry.version, seen_at)
        return entries

    def _may_take(self, name: str, entry: Entry | None, now: float) -> bool:
        if entry is None or _holder(entry) in (_FREE, self._holder):
            return True
        return now >= self._seen[name][1] + self._ttl_s

    def _beat(self, name: str, before: Entry | None, began: float) -> Lease:
        version = before.version if before else ABSENT
        key = f"{self._prefix}/{name}"
        entry = self._coordinator.write(key, _record(self._holder), expected=version)
        return Lease(name, entry.version, began + self._ttl_s)


def _record(holder: str) -> bytes:
    return json.dumps({"holder": holder}).encode()


def _holder(entry: Entry | None) -> str:
    """Return who holds a slot; a record that cannot be read is held by nobody we know."""
    if entry is None:
        return _FREE
    try:
        return str(json.loads(entry.value)["holder"])
    except (ValueError, KeyError, TypeError):
        return "?"
