"""Slots: a host takes one before it changes, and its lease expires if the host is gone.

Rule 1: clocks of two hosts are never compared.  A holder counts as gone when another host
has seen its record unchanged for `ttl_s`, on that host's own clock; each renewal changes
the record.  Where the two have another `ttl_s`, since the policy has changed meanwhile, the
longer one counts: the holder's is in its record.
Rule 2: a holder may act until `ttl_s` after it *began* its last renewal, on its own clock.
Others cannot have seen that renewal before it began, so its time is over before theirs.
Rule 3: right before an act the holder reads the record once more: it must still be its own,
at its version.  A holder that was paused finds that its time is over, or that the record is
another host's.

The clock has to go on while a machine sleeps (CLOCK_BOOTTIME, clock_gettime(2)).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from gapless.base.errors import ConflictError
from gapless.coordinator import decoding
from gapless.coordinator.decoding import MOST_LEASE_S, SlotRecord
from gapless.coordinator.model import (
    ABSENT,
    LARGEST_VALUE_BYTES,
    Coordinator,
    Entry,
)

Clock = Callable[[], float]
_FREE = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The hold on a slot; `version` is its fence."""

    slot: str
    version: int
    until: float
    """When it expires, in seconds on the holder's clock."""


class Slots:
    """The slots of one app, as one host sees and takes them."""

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
        """Take one of *count* slots that is free or whose holder is gone; None if none is.

        A slot that this holder has already (the answer to its own write was lost) is taken
        first.  A slot beyond *count* that is still held counts: there were more slots when
        it was taken.  Raises UnavailableError.
        """
        began = self._now()
        found = self._read()
        held = [n for n, each in found.items() if not self._may_take(n, each, began)]
        if len(held) >= count:
            return None
        names = [f"{number}" for number in range(count)]
        own = [name for name in names if _holder(found.get(name)) == self._holder]
        for name in dict.fromkeys([*own, *names]):
            if self._may_take(name, found.get(name), began):
                try:
                    return self._write(name, found.get(name), began)
                except ConflictError:
                    continue  # another host was faster
        return None

    def renew(self, lease: Lease) -> Lease | None:
        """Return the renewed lease; None if it is lost.  Raises UnavailableError."""
        began = self._now()
        entry = self._coordinator.read(f"{self._prefix}/{lease.slot}")
        if entry is None or entry.version != lease.version:
            return None
        try:
            return self._write(lease.slot, entry, began)
        except ConflictError:
            return None

    def may_act(self, lease: Lease) -> bool:
        """Return, right before an act, whether the lease is held.

        Raises UnavailableError.
        """
        entry = self._coordinator.read(f"{self._prefix}/{lease.slot}")
        is_ours = entry is not None and entry.version == lease.version
        # The holder as well: a coordinator that was replaced may count the same versions.
        is_ours = is_ours and _holder(entry) == self._holder
        return is_ours and self._now() < lease.until

    def give_back(self, lease: Lease) -> None:
        """Free the slot at once; a slot that is lost already is left alone.

        The lease must not be used afterwards, even if this raises UnavailableError.
        """
        key = f"{self._prefix}/{lease.slot}"
        try:
            self._coordinator.write(key, _record(_FREE, 0.0), expected=lease.version)
        except ConflictError:
            return

    def holders(self) -> dict[str, str]:
        """Return the holder of each slot that is held, as its record says."""
        found = {name: _holder(entry) for name, entry in self._read().items()}
        return {name: holder for name, holder in found.items() if holder}

    def _read(self) -> dict[str, Entry]:
        """Return the slots; remember since when each of them is unchanged."""
        found = self._coordinator.read_all(self._prefix)
        seen_at = self._now()  # after the answer, which may have taken long
        start = len(self._prefix) + 1
        entries = {key[start:]: entry for key, entry in found.items()}
        for name, entry in entries.items():
            if self._seen.get(name, (ABSENT, 0.0))[0] != entry.version:
                self._seen[name] = (entry.version, seen_at)
        self._seen = {name: self._seen[name] for name in entries}
        return entries

    def _may_take(self, name: str, entry: Entry | None, now: float) -> bool:
        if entry is None or _holder(entry) in (_FREE, self._holder):
            return True
        ttl_s = max(self._ttl_s, _read(entry).ttl_s)
        return now >= self._seen[name][1] + ttl_s

    def _write(self, name: str, before: Entry | None, began: float) -> Lease:
        version = before.version if before else ABSENT
        key = f"{self._prefix}/{name}"
        content = _record(self._holder, min(self._ttl_s, MOST_LEASE_S))
        entry = self._coordinator.write(key, content, expected=version)
        return Lease(name, entry.version, began + self._ttl_s)


def _record(holder: str, ttl_s: float) -> bytes:
    return json.dumps({"holder": holder, "ttl_s": ttl_s}).encode()


def _holder(entry: Entry | None) -> str:
    """Return the holder of a slot; "?" if its record cannot be read."""
    return _FREE if entry is None else _read(entry).holder


def _read(entry: Entry) -> SlotRecord:
    try:
        return decoding.decode(SlotRecord, entry.value, LARGEST_VALUE_BYTES)
    except ValueError:
        return SlotRecord(holder="?")
