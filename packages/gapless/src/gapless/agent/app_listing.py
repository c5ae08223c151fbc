"""The supervisor's list of apps, kept for a moment for many readers.

A supervisor that does not answer shows nothing about an app, which serves on: the last list
stays valid.  No reader is made to wait here: it is told when there is a new one.
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
        self._acts: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def last(self) -> Listed | None:
        """The last list; None before the first."""
        return self._listed

    def on_answer(self, act: Callable[[], None]) -> None:
        """Call *act*, in another thread, when the supervisor was asked."""
        self._acts.append(act)

    def look(self) -> float:
        """Return until when to wait for a fresh list; it was asked for if need be.

        That is in the past if the last one is fresh, or if the supervisor does not answer.
        """
        now = clock.monotonic()
        with self._changed:
            is_late = self._is_asking and now >= self._asked_at + ANSWER_S
            if now < self._answered_at + FRESH_S or is_late:
                return now
            if not self._is_asking:
                self._is_asking, self._asked_at = True, now
                self._changed.notify_all()
            return now + ANSWER_S

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
            for act in self._acts:
                act()
