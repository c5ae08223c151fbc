"""The supervisor's list of apps, kept for a moment for many readers.

A supervisor that does not answer shows nothing about an app, which serves on: the last list
stays valid.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from gapless.agent.observation import Listed
from gapless.base import clock
from gapless.base.errors import GaplessError

FRESH_S = 0.25
"""How old a list may be."""
ANSWER_S = 0.4
"""How long a reader waits for a new list."""

Ask = Callable[[], Listed | None]
"""Asks the supervisor for its list; returns None if there is no supervisor."""


class AppListing:
    """Asks the supervisor in a thread, when a reader wants the list."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._changed = threading.Condition()
        self._listed: Listed | None = None
        self._asked_at = self._answered_at = -1.0
        """When the supervisor was asked, and when that ended; -1: never."""
        self._is_asking = self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def listed(self) -> Listed | None:
        """Return the list, a fresh one if the supervisor answers in time."""
        now = clock.monotonic()
        with self._changed:
            is_late = self._is_asking and now >= self._asked_at + ANSWER_S
            if now >= self._answered_at + FRESH_S and not is_late:
                if not self._is_asking:
                    self._is_asking, self._asked_at = True, now
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._answered_at >= now, ANSWER_S)
            return self._listed

    def close(self) -> None:
        """Stop asking."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_asking or self._is_closed)
                if self._is_closed:
                    return
            try:
                listed, is_answered = self._ask(), True
            except (GaplessError, OSError, ValueError):
                listed, is_answered = None, False
            with self._changed:
                if is_answered:
                    self._listed = listed
                # After a failure, too, the supervisor is not asked again at once.
                self._answered_at, self._is_asking = clock.monotonic(), False
                self._changed.notify_all()
