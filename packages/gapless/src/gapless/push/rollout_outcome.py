"""What the state of a rollout means for the outcome of its upload.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gapless.push.outcome import Outcome, Stage
from gapless.rollout import decide
from gapless.rollout.model import HostReport, Rollout, State
from gapless.rollout.status import has_failed, status_of

MOST_NAMES = 3
_STAGES = {
    State.ROLLING: Stage.ROLLING,
    State.HELD: Stage.HELD,
    State.DONE: Stage.DONE,
    State.REVERTING: Stage.REVERTING,
    State.STUCK: Stage.STUCK,
    State.REVERTED: Stage.REVERTED,
}
_PAST_STAGES = {"done": Stage.DONE, "reverted": Stage.REVERTED}


def next_outcome(
    outcome: Outcome,
    rollout: Rollout | None,
    hosts: Mapping[str, HostReport],
    history: Iterable[Mapping[str, Any]],
    trouble: str = "",
) -> Outcome:
    """Return the outcome that follows *outcome*, of an upload whose rollout has begun.

    *rollout* is the newest one of the app.  Its end is reported when it is settled: the
    link is flipped then, and the hook has run.  *trouble* is what prevents that.
    """
    if rollout is None or rollout.number != outcome.rollout:
        return _past_outcome(outcome, rollout, history)
    stage = _STAGES[rollout.state]
    is_end = stage in (Stage.DONE, Stage.REVERTED)
    if is_end and not rollout.settled:
        before = Stage.ROLLING if stage is Stage.DONE else Stage.REVERTING
        return replace(outcome, stage=before, detail=trouble or "the rollout is ending")
    status = status_of(rollout, hosts.values())
    left_out = left_behind(rollout, hosts.values())
    return replace(
        outcome,
        stage=stage,
        detail=f"{rollout.reason}; {left_out}" if left_out else rollout.reason,
        hosts_done=len(status.arrived),
        hosts=len(status.order),
    )


def left_behind(rollout: Rollout, hosts: Iterable[HostReport]) -> str:
    """Return which hosts failed in a rollout that is done all the same, or nothing.

    `max_failures` allows that.  With what runs there, why the first failed, and what to do.
    """
    failed = sorted(
        (each for each in hosts if has_failed(rollout, each)),
        key=lambda each: each.host,
    )
    if rollout.state is not State.DONE or not failed:
        return ""
    named = [f"{each.host} ({each.release or 'nothing'} runs)" for each in failed]
    more = f" and {len(named) - MOST_NAMES} more" if len(named) > MOST_NAMES else ""
    why = f": {failed[0].reason}" if failed[0].reason else ""
    return (
        f"failed on {', '.join(named[:MOST_NAMES])}{more}{why}; "
        f"`gapless rollout resume {rollout.app}` tries again there"
    )


def _past_outcome(
    outcome: Outcome, rollout: Rollout | None, history: Iterable[Mapping[str, Any]]
) -> Outcome:
    """Return the outcome of a rollout that is not the newest."""
    for each in history:
        if each["number"] == outcome.rollout:
            ended = str(each["outcome"])
            stage = _PAST_STAGES.get(ended, Stage.SUPERSEDED)
            reason = str(each["reason"])
            detail = ended if stage is Stage.SUPERSEDED else reason
            return replace(outcome, stage=stage, detail=detail)
    detail = (
        decide.superseded_by(rollout.number) if rollout else "the rollout is unknown"
    )
    return replace(outcome, stage=Stage.SUPERSEDED, detail=detail)
