"""SIGTERM and SIGINT: drain first, then let the server's own handlers have them.

The handler may interrupt anything, so it takes no lock: it leaves a note and wakes the
thread, which begins the drain and sends the signal again when all is finished.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Stands before the handlers that were there."""

    def __init__(
        self, is_draining: Callable[[], bool], wake: Callable[[], None]
    ) -> None:
        self._is_draining, self._wake = is_draining, wake
        self._previous: dict[int, Any] = {}
        self.waiting: int | None = None
        """The signal that is held back until all is finished."""
        self._passing = False

    def arm(self) -> None:
        """Stand before the handlers that are there now, if this thread may.

        Servers put in theirs before or after they import the app, so this is done when
        the library is made and again when the first request comes.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may (signal(2) in Python's words)
        for number in NUMBERS:
            previous = signal.getsignal(number)
            # None was not put in by Python; SIG_IGN says that nobody wants it.
            if previous in (None, signal.SIG_IGN, self._handle):
                continue
            self._previous[number] = previous
            signal.signal(number, self._handle)

    def forget(self) -> None:
        """Hold nothing back, as in a child that was forked: it was its parent's."""
        self.waiting = None
        self._passing = False

    def disarm(self) -> None:
        """Put back what was there."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first = self.waiting is None and not self._is_draining()
        if not first or self._passing:
            self._pass(number, frame)
            return
        self.waiting = number
        self._wake()

    def _pass(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)
        elif previous is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def pass_on(self) -> None:
        """Let the server have the signal that was held back."""
        number, self.waiting = self.waiting, None
        if number is None or _is_asyncios(self._previous.get(number)):
            return
        self._passing = True
        os.kill(os.getpid(), number)


def _is_asyncios(previous: Any) -> bool:
    """Tell whether a handler stands for one of loop.add_signal_handler.

    That one was called already, by way of the wakeup descriptor: it cannot be held back.
    """
    return getattr(previous, "__module__", "").startswith("asyncio.")
