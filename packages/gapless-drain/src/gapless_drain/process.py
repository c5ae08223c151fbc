"""The drain of one process: its counts, its connection to the supervisor, its signals."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from gapless_drain.connection import SupervisorConnection
from gapless_drain.core import DRAINING, Core, Mode
from gapless_drain.settings import Settings
from gapless_drain.signals import Signals

LIBRARY = "gapless_drain 0.1.0"
PROCEDURES = "procedures"
"""What is counted while no server's requests are: the kernel is asked about those."""


class Stream(Protocol):
    """A websocket or an event stream."""

    def end(self) -> None:
        """End it, since a drain has begun.  Is called from any thread."""


class ProcessDrain:
    """What is under way in this process, and the order from outside to finish it."""

    def __init__(
        self,
        *,
        status: int = 503,
        retry_after_s: int = 1,
        health_path: str | None = None,
        health_status: int = 503,
        lead_s: float = 0.0,
        drain_timeout_s: float = 30.0,
        on_signal: Literal["recycle", "handoff"] | None = "recycle",
        discard_bytes: int = 16 << 20,
        discard_s: float = 10.0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """See `Settings` for what each means; *environ* is used instead of os.environ."""
        self.settings = Settings(
            status=status,
            retry_after_s=retry_after_s,
            health_path=health_path,
            health_status=health_status,
            lead_s=lead_s,
            drain_timeout_s=drain_timeout_s,
            on_signal=on_signal,
            discard_bytes=discard_bytes,
            discard_s=discard_s,
        )
        self._environ = os.environ if environ is None else environ
        self.core = Core(self._send_counts)
        self.signals_installed = False
        """Whether `install_signals` was called; the middleware reads it first."""
        self._scope = PROCEDURES
        self._streams: set[Stream] = set()
        self._streams_lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._drain_begun = threading.Event()
        self._signal_deadline = self._refuse_at = 0.0
        self._connection: SupervisorConnection | None = None
        self._signals = Signals(lambda: self.core.mode in DRAINING, self._wake)
        self._connect()
        if on_signal is not None:
            self._signals.install()
        if hasattr(os, "register_at_fork"):
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: _call_if_alive(after_fork))

    def counts(self) -> dict[str, Any]:
        """Return what is under way, in the form of spec/drain.md."""
        return self.core.counts(time.monotonic())

    # --- for the middleware ---------------------------------------------------------

    def count_requests(self) -> None:
        """Say that the requests of this process are counted, too."""
        self._scope = ""
        self._wake()

    def install_signals(self) -> None:
        """Hold signals back from the handlers that the server has installed by now."""
        self.signals_installed = True
        if self.settings.on_signal is not None:
            self._signals.install()

    def add_stream(self, stream: Stream) -> None:
        """End a stream when a drain begins; at once if the process drains already."""
        with self._streams_lock:
            self._streams.add(stream)
        if self.core.mode in DRAINING:
            stream.end()

    def remove_stream(self, stream: Stream) -> None:
        """Forget a stream that has ended."""
        with self._streams_lock:
            self._streams.discard(stream)

    # --- the thread -----------------------------------------------------------------

    def _connect(self) -> None:
        """Start the thread, if there is a supervisor to connect to or a signal to await."""
        is_supervised = (
            "GAPLESS_SOCKET" in self._environ and "GAPLESS_INSTANCE" in self._environ
        )
        if is_supervised or self.settings.on_signal is not None:
            self._connection = SupervisorConnection(
                self._environ if is_supervised else {},
                LIBRARY,
                take_order=self._take_order,
                counts=self.counts,
                scope=lambda: self._scope,
                before_wait=self._advance_signal,
            )

    def _send_counts(self) -> None:
        if self._connection is not None:
            self._connection.send_counts()

    def _wake(self) -> None:
        if self._connection is not None:
            self._connection.wake()

    def _take_order(self, order: str) -> bool:
        if order == "undrain" and self._signals.pending is not None:
            return True  # it is about to end: the signal has begun this drain
        before = self.core.mode
        counts_due = self.core.take_order(order)
        self._mode_changed(before)
        return counts_due

    def _mode_changed(self, before: Mode) -> None:
        """When a drain has begun: end the streams, and wake those who wait for it."""
        was_draining, is_draining = before in DRAINING, self.core.mode in DRAINING
        if is_draining and not was_draining:
            self._drain_begun.set()
            with self._streams_lock:
                streams = list(self._streams)
            for stream in streams:
                stream.end()
            for callback in list(self._callbacks):
                _call_suppressing_errors(callback)
        elif not is_draining:
            self._drain_begun.clear()

    def _advance_signal(self) -> float | None:
        """Take the next step for a signal that is held back; return when to come again.

        The result is in seconds from now; None if no signal is held back.
        """
        if self._signals.pending is None:
            return None
        now, before = time.monotonic(), self.core.mode
        if not self._signal_deadline:
            self._signal_deadline = now + self.settings.drain_timeout_s
            self._refuse_at = now + self.settings.lead_s
            if now < self._refuse_at:
                self.core.enter(Mode.LEAVING)
        if now >= self._refuse_at and self.core.mode not in DRAINING:
            self.core.enter(Mode(self.settings.on_signal or "recycle"))
        self._mode_changed(before)
        if self.core.is_drained or now >= self._signal_deadline:
            self._signal_deadline = 0.0
            self._signals.forward_pending()
            return None
        times = [self._signal_deadline] + [self._refuse_at] * (now < self._refuse_at)
        return min(times) - now

    def _after_fork(self) -> None:
        """In a forked child: forget what belongs to the parent, and connect anew."""
        self._signals.forget_pending()
        self._signal_deadline = 0.0
        self.core.reset_after_fork()
        # New ones: a thread that the child does not have may have held the old locks.
        self._streams_lock, self._drain_begun = threading.Lock(), threading.Event()
        if self.core.mode in DRAINING:
            self._drain_begun.set()
        self._streams.clear()
        self.signals_installed = False
        if self._connection is not None:
            self._connection.close_inherited()
            self._connect()


def _call_if_alive(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    found = method()
    if found is not None:
        found()


def _call_suppressing_errors(callback: Callable[[], None]) -> None:
    """Call a function of the app; its mistake must not stop the drain."""
    with contextlib.suppress(Exception):
        callback()
