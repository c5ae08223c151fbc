"""The drain of one process: its counts, its connection to the supervisor, its signals."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from gapless_drain.connection import Line
from gapless_drain.core import DRAINING, Core, Mode
from gapless_drain.settings import Settings
from gapless_drain.signals import Signals

LIBRARY = "gapless_drain 0.1.0"


class Stream(Protocol):
    """A websocket or an event stream."""

    def end(self) -> None:
        """End it, since a drain has begun."""


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
        """See `Settings` for what each means; *environ* takes the place of os.environ."""
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
        self.core = Core(self._changed)
        self.armed = False
        self._streams: set[Stream] = set()
        self._streams_lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._begun = threading.Event()
        self._deadline = self._refuse_at = 0.0
        self._line: Line | None = None
        self._signals = Signals(lambda: self.core.mode in DRAINING, self._wake)
        self._open()
        if on_signal is not None:
            self._signals.arm()
        if hasattr(os, "register_at_fork"):
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: _call(after_fork))

    def counts(self) -> dict[str, Any]:
        """Return what is under way, in the form of spec/drain.md."""
        return self.core.counts(time.monotonic())

    # --- for the middleware ---------------------------------------------------------

    def arm(self) -> None:
        """Stand before the server's signal handlers, when it has put them in."""
        self.armed = True
        if self.settings.on_signal is not None:
            self._signals.arm()

    def watch(self, stream: Stream) -> None:
        """End a websocket or an event stream when a drain begins, or now."""
        with self._streams_lock:
            self._streams.add(stream)
        if self.core.mode in DRAINING:
            stream.end()

    def unwatch(self, stream: Stream) -> None:
        """Forget one that is over."""
        with self._streams_lock:
            self._streams.discard(stream)

    # --- the thread -----------------------------------------------------------------

    def _open(self) -> None:
        known = (
            "GAPLESS_SOCKET" in self._environ and "GAPLESS_INSTANCE" in self._environ
        )
        if known or self.settings.on_signal is not None:
            self._line = Line(
                self._environ if known else {},
                LIBRARY,
                ordered=self._ordered,
                counts=self.counts,
                turn=self._turn,
            )

    def _changed(self) -> None:
        if self._line is not None:
            self._line.changed()

    def _wake(self) -> None:
        if self._line is not None:
            self._line.wake()

    def _ordered(self, line: str) -> bool:
        before = self.core.mode
        told = self.core.order(line)
        self._entered(before)
        return told

    def _entered(self, before: Mode) -> None:
        """Let those know who wait for a drain to begin."""
        began, draining = before in DRAINING, self.core.mode in DRAINING
        if draining and not began:
            self._begun.set()
            with self._streams_lock:
                streams = list(self._streams)
            for stream in streams:
                stream.end()
            for callback in list(self._callbacks):
                _quietly(callback)
        elif not draining:
            self._begun.clear()

    def _turn(self) -> float | None:
        """Go on with a signal that is held back; return how soon to look again."""
        if self._signals.waiting is None:
            return None
        now, before = time.monotonic(), self.core.mode
        if not self._deadline:
            self._deadline = now + self.settings.drain_timeout_s
            self._refuse_at = now + self.settings.lead_s
            if now < self._refuse_at:
                self.core.enter(Mode.LEAVING)
        if now >= self._refuse_at and self.core.mode not in DRAINING:
            self.core.enter(Mode(self.settings.on_signal or "recycle"))
        self._entered(before)
        if self.core.is_drained or now >= self._deadline:
            self._deadline = 0.0
            self._signals.pass_on()
            return None
        waits = [self._deadline] + [self._refuse_at] * (now < self._refuse_at)
        return min(waits) - now

    def _after_fork(self) -> None:
        """Begin anew in a child: what is under way is its parent's."""
        self._signals.forget()
        self._deadline = 0.0
        self.core.begin_anew()
        # A thread that is not in the child may have held a lock of these.
        self._streams_lock, self._begun = threading.Lock(), threading.Event()
        if self.core.mode in DRAINING:
            self._begun.set()
        self._streams.clear()
        self.armed = False
        if self._line is not None:
            self._line.let_go()
            self._open()


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    found = method()
    if found is not None:
        found()


def _quietly(callback: Callable[[], None]) -> None:
    """Call what an app gave us; its mistake must not stop the drain."""
    with contextlib.suppress(Exception):
        callback()
