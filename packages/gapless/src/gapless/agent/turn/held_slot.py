"""Hold a slot while a turn goes on: a thread renews the lease."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gapless.base.errors import GaplessError, UnavailableError
from gapless.coordinator.leases import Clock, Lease, Slots


class HeldSlot:
    """A slot that is held from `with` to its end; then it is given back."""

    def __init__(
        self,
        slots: Slots,
        lease: Lease,
        ttl_s: float,
        now: Clock,
        on_renewal: Callable[[], None],
    ) -> None:
        """Call *on_renewal* after a renewal or the loss, in the thread that renews."""
        self._on_renewal = on_renewal
        self._slots, self._ttl_s, self._now = slots, ttl_s, now
        self._lease: Lease | None = lease
        """None: it is lost, or was given back."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        with self._lock:
            lease, self._lease = self._lease, None
        if lease is not None:
            try:
                self._slots.give_back(lease)
            except UnavailableError:
                return  # the lease expires, and another host takes the slot

    def refused(self) -> str:
        """Return, right before a change, why nothing may be changed any more.

        The record is read once more; where it cannot be read, nothing is changed.
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
            return "the slot was lost: its lease has expired"

    @property
    def until(self) -> float:
        """Until when this host may act, on the clock of the slots; 0: the slot is lost."""
        with self._lock:
            return 0.0 if self._lease is None else self._lease.until

    @property
    def is_lost(self) -> bool:
        """Whether another host may have the slot now."""
        with self._lock:
            return self._lease is None or self._now() >= self._lease.until

    def _renew(self) -> None:
        while not self._ended.wait(self._ttl_s / 3):
            with self._lock:
                if self._lease is None:
                    return
                try:
                    # An expired lease is not renewed, even if the slot is still free:
                    # others may have counted on that (leases, rule 2).
                    is_expired = self._now() >= self._lease.until
                    self._lease = None if is_expired else self._slots.renew(self._lease)
                except UnavailableError:
                    continue  # the slot is held until the lease expires
            with contextlib.suppress(GaplessError):
                self._on_renewal()
