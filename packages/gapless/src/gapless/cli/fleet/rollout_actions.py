"""Hold, resume or abort the rollout of a fleet: what commands, keys and buttons share."""

from __future__ import annotations

from gapless.base.errors import MisuseError, NotFoundError
from gapless.rollout import decide
from gapless.rollout.model import Action, Rollout, State
from gapless.rollout.store import FleetStore

ACTIONS = {"hold": Action.HOLD, "resume": Action.RESUME, "abort": Action.REVERT}
"""By the word that people say."""


def apply(store: FleetStore, word: str, *, reason: str = "", meant: int = 0) -> Rollout:
    """Move a rollout on by one of the words of `ACTIONS`; return it as it is then.

    *meant* is the number of the one that somebody has looked at: nothing is done if
    another one followed it, or it was moved since.  0: whichever there is.  Raises
    NotFoundError, MisuseError, ConflictError.
    """
    action, reason = ACTIONS[word], reason or f"{word} by hand"
    before = current(store, meant)
    if before is None:
        raise NotFoundError(f"{store.app}: nothing was rolled out yet")
    after = store.apply(action, reason, seen=before if meant else None)
    if after is not None:
        return after
    if decide.transition(before, action, reason) is not None:
        raise MisuseError(
            f"{store.app}: rollout {before.number} was {before.state.value}, and changed "
            f"right before `{word}`",
            hint="nothing was done; look at it again",
        )
    why = f"{store.app}: rollout {before.number} is {before.state.value}"
    if action is Action.REVERT and not before.previous:
        why += ", and there is no release to go back to"
    raise MisuseError(f"{why}: `{word}` has no effect on it", hint=_hint(before))


def current(store: FleetStore, meant: int = 0) -> Rollout | None:
    """Return the rollout of a fleet, if it is the one that is *meant*; 0 means any.

    Raises MisuseError if another one followed it.
    """
    rollout, _ = store.rollout()
    if meant and (rollout is None or rollout.number != meant):
        now = f"rollout {rollout.number} followed it" if rollout else "it is gone"
        raise MisuseError(
            f"{store.app}: rollout {meant} is not the last one any more: {now}",
            hint="nothing was done",
        )
    return rollout


def _hint(rollout: Rollout) -> str:
    if rollout.state in (State.DONE, State.REVERTED):
        return f"`gapless rollback {rollout.app}` goes back with a rollout of its own"
    return f"`gapless rollout status {rollout.app}` shows its state"
