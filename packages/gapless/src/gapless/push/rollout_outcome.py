"""What the state of a fleet means for one upload.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gapless.push.outcome import Outcome, Stage
from gapless.rollout import decide
from gapless.rollout.model import HostReport, Rollout, State
from gapless.rollout.status import status_of

_STAGES = {
    State.ROLLING: Stage.ROLLING,
    State.HELD: Stage.HELD,
    State.DONE: Stage.DONE,
    State.REVERTING: Stage.REVERTING,
    State.STUCK: Stage.STUCK,
    State.REVERTED: Stage.REVERTED,
}
_PAST = {"done": Stage.DONE, "reverted": Stage.REVERTED}


def judged(
    outcome: Outcome,
    rollout: Rollout | None,
    hosts: Mapping[str, HostReport],
    history: Iterable[Mapping[str, Any]],
    trouble: str = "",
) -> Outcome:
    """Return what became of an upload whose rollout has begun.

    Only what is settled is told as the end: the link is flipped then, and the hook of the
    end has run.  *trouble* is what is in the way of that.
    """
    if rollout is None or rollout.number != outcome.rollout:
        return _past(outcome, rollout, history)
    stage = _STAGES[rollout.state]
    ends = stage in (Stage.DONE, Stage.REVERTED)
    if ends and not rollout.settled:
        before = Stage.ROLLING if stage is Stage.DONE else Stage.REVERTING
        return replace(outcome, stage=before, detail=trouble or "its end is seen to")
    status = status_of(rollout, hosts.values())
    return replace(
        outcome,
        stage=stage,
        detail=rollout.reason,
        hosts_done=len(status.arrived),
        hosts=len(status.order),
    )


def _past(
    outcome: Outcome, rollout: Rollout | None, history: Iterable[Mapping[str, Any]]
) -> Outcome:
    """Return how a rollout ended that another took the place of."""
    for each in history:
        if each["number"] == outcome.rollout:
            told = str(each["outcome"])
            stage = _PAST.get(told, Stage.SUPERSEDED)
            why = str(each["reason"])
            detail = told if stage is Stage.SUPERSEDED else why
            return replace(outcome, stage=stage, detail=detail)
    by = decide.superseded_by(rollout.number) if rollout else "nothing is known"
    return replace(outcome, stage=Stage.SUPERSEDED, detail=by)
