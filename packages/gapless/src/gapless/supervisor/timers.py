"""Names, each with the time at which it is due.

The next one is found at once, however many there are.
"""

from __future__ import annotations

import heapq


class Timers:
    """One time for each name, or none; on the caller's clock."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        """Has every time of `_at`, and some that were set anew or taken back since."""

    def set(self, name: str, at: float | None) -> None:
        """Let a name be due at a time, in the place of an earlier one; None: never."""
        if at is None:
            self._at.pop(name, None)
        elif self._at.get(name) != at:
            self._at[name] = at
            heapq.heappush(self._heap, (at, name))
            if len(self._heap) > 2 * len(self._at) + 64:
                self._heap = [(at, name) for name, at in self._at.items()]
                heapq.heapify(self._heap)

    def set_earlier(self, name: str, at: float) -> None:
        """Let a name be due at a time, unless it is due before that."""
        self.set(name, min(at, self._at.get(name, at)))

    def next(self) -> float | None:
        """Return when the first name is due; None if none ever is."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> list[str]:
        """Return the names that are due, the first one first; they are not due again."""
        found = []
        while (at := self.next()) is not None and at <= now:
            name = heapq.heappop(self._heap)[1]
            del self._at[name]
            found.append(name)
        return found
