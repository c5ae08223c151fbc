"""Whether a turn may still change its host, asked right before it does."""

from __future__ import annotations

from gapless.agent.turn.held_slot import HeldSlot
from gapless.base import clock
from gapless.base.errors import UnavailableError
from gapless.rollout.model import Rollout
from gapless.rollout.store import FleetStore


class TurnPermit:
    """Reads rollout and slot once more; a `deploy.Permit`."""

    def __init__(self, store: FleetStore, rollout: Rollout, slot: HeldSlot) -> None:
        self._store, self._rollout, self._slot = store, rollout, slot
        self._deadline = clock.monotonic() + rollout.policy.change_timeout_s
        self._was_cancelled = False

    @property
    def was_lost(self) -> bool:
        """Whether rollout or slot refused a change, or the slot is not held any more."""
        return self._was_cancelled or self._slot.is_lost

    @property
    def until(self) -> float:
        """Until when a permit that was just given is valid, on CLOCK_BOOTTIME."""
        return self._slot.until

    def refused(self) -> str:
        """Return why nothing may be changed any more, or nothing."""
        if clock.monotonic() >= self._deadline:
            return f"it was not ready in {self._rollout.policy.change_timeout_s:g} s"
        refused = self._cancellation()
        self._was_cancelled = bool(refused)
        return refused

    def _cancellation(self) -> str:
        try:
            now, _ = self._store.rollout()
        except UnavailableError as error:
            return f"the rollout cannot be confirmed: {error.message}"
        if now is None or now.number != self._rollout.number:
            return "another rollout superseded this one"
        if (now.turn, now.state) != (self._rollout.turn, self._rollout.state):
            return f"the rollout is {now.state.value}: {now.reason}"
        return self._slot.refused()
