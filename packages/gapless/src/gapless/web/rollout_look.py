"""One reading of the rollouts for all browsers; a dead coordinator stops nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from gapless.base import clock

KEPT_S = 5.0
"""How long an answer serves further browsers."""

Rollouts = list[dict[str, Any]]


class RolloutLook:
    """Reads the rollouts when a browser asks: once at a time, on a thread of its own."""

    def __init__(self, read: Callable[[], Rollouts], kept_s: float = KEPT_S) -> None:
        self._read, self._kept_s = read, kept_s
        self._reading: asyncio.Future[Rollouts] | None = None
        self._until = 0.0

    async def found(self) -> Rollouts:
        """Return what a reading that is under way, or was done lately, has found."""
        if self._reading is None or (
            self._reading.done() and clock.monotonic() >= self._until
        ):
            self._reading = self._begin()
        # A browser that leaves ends its own wait, not the reading.
        return await asyncio.shield(self._reading)

    def forget(self) -> None:
        """Read anew for whoever asks from now on: a rollout was changed."""
        self._reading = None

    def _begin(self) -> asyncio.Future[Rollouts]:
        """Read on a daemon's thread: the page ends without waiting for a coordinator."""
        loop = asyncio.get_running_loop()
        reading: asyncio.Future[Rollouts] = loop.create_future()

        def end(found: Rollouts | None, error: Exception | None) -> None:
            self._until = clock.monotonic() + self._kept_s
            if error is not None:
                reading.set_exception(error)
            else:
                reading.set_result(found or [])

        def perform() -> None:
            found, trouble = None, None
            try:
                found = self._read()
            except Exception as error:  # noqa: BLE001 - who asked is told
                trouble = error
            with contextlib.suppress(RuntimeError):  # the page has ended meanwhile
                loop.call_soon_threadsafe(end, found, trouble)

        threading.Thread(target=perform, name="rollouts", daemon=True).start()
        return reading
