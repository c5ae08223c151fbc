"""Hold a slot while something else is done: a thread renews the lease."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gapless.base.errors import GaplessError, UnavailableError
from gapless.coordinator.leases import Clock, Lease, Slots


class Holding:
    """A slot in hand, from `with` to its end; then it is given back."""

    def __init__(
        self,
        slots: Slots,
        lease: Lease,
        ttl_s: float,
        now: Clock,
        also: Callable[[], None],
    ) -> None:
        """*also* is called with each renewal."""
        self._also = also
        self._slots, self._ttl_s, self._now = slots, ttl_s, now
        self._lease: Lease | None = lease
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        with self._lock:
            lease, self._lease = self._lease, None
        if lease is not None:
            try:
                self._slots.give_back(lease)
            except UnavailableError:
                return  # it expires, and others take it

    def refused(self) -> str:
        """Return why nothing may be changed any more, right before a change.

        The record is read once more; where it cannot be, nothing is changed.
        """
        with self._lock:
            if self._lease is None:
                return "the slot was lost: this host was away for too long"
            try:
                if self._slots.may_act(self._lease):
                    return ""
            except UnavailableError as error:
                return f"the slot cannot be confirmed: {error.message}"
            self._lease = None
            return "the slot was lost: its time was over"

    @property
    def until(self) -> float:
        """Until when this host may act, on the clock of the slots; 0: it is lost."""
        with self._lock:
            return 0.0 if self._lease is None else self._lease.until

    @property
    def is_lost(self) -> bool:
        """Whether somebody else may have it now."""
        with self._lock:
            return self._lease is None or self._now() >= self._lease.until

    def _go_on(self) -> None:
        while not self._over.wait(self._ttl_s / 3):
            with self._lock:
                if self._lease is None:
                    return
                try:
                    # One whose time is over is not renewed, even if nobody took it yet:
                    # others may have counted on that (leases, rule 2).
                    expired = self._now() >= self._lease.until
                    self._lease = None if expired else self._slots.renew(self._lease)
                except UnavailableError:
                    continue  # it is ours until its time is over
            with contextlib.suppress(GaplessError):
                self._also()
