"""SIGTERM and SIGINT: the process drains first, then the server's own handlers run.

The handler may interrupt any code, so it takes no lock: it notes the signal and wakes the
thread.  The thread begins the drain, and sends the signal again when all is finished.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

NUMBERS = (signal.SIGTERM, signal.SIGINT)
ON_WINDOWS = os.name == "nt"


class Signals:
    """Holds a signal back from the handlers that the server has installed."""

    def __init__(
        self, is_draining: Callable[[], bool], wake: Callable[[], None]
    ) -> None:
        self._is_draining, self._wake = is_draining, wake
        self._previous: dict[int, Any] = {}
        """The server's handlers, by signal."""
        self.pending: int | None = None
        """The signal that is held back until everything is finished."""
        self._forwarding = False

    def install(self) -> None:
        """Put this object in front of the current handlers, in the main thread only.

        Servers install theirs before or after they import the app.  So this is called
        when the library is made, and again when the first request comes.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # signal.signal() is not allowed there
        for number in NUMBERS:
            previous = signal.getsignal(number)
            # None was not installed by Python; with SIG_IGN the signal means nothing.
            if previous in (None, signal.SIG_IGN, self._handle):
                continue
            self._previous[number] = previous
            signal.signal(number, self._handle)

    def forget_pending(self) -> None:
        """In a forked child: hold nothing back, since the signal was for the parent."""
        self.pending = None
        self._forwarding = False

    def restore(self) -> None:
        """Install the previous handlers again."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_first = self.pending is None and not self._is_draining()
        if not is_first or self._forwarding:
            self._call_previous(number, frame)
            return
        self.pending = number
        self._wake()

    def _call_previous(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)
        elif previous is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            _send_to_self(number)

    def forward_pending(self) -> None:
        """Send the signal that was held back again, this time for the server."""
        number, self.pending = self.pending, None
        if number is None or _is_asyncios(self._previous.get(number)):
            return
        self._forwarding = True
        _send_to_self(number)


def _send_to_self(number: int) -> None:
    """Send this process a signal, from any thread."""
    if ON_WINDOWS:
        signal.raise_signal(number)  # os.kill would call no handler, and end it
    else:
        os.kill(os.getpid(), number)  # it interrupts what the main thread waits for


def _is_asyncios(previous: Any) -> bool:
    """Return whether a handler belongs to `loop.add_signal_handler`.

    asyncio was already told of the signal through its wakeup descriptor, which cannot be
    held back.
    """
    return getattr(previous, "__module__", "").startswith("asyncio.")
