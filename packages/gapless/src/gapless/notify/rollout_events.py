"""What coordinators and inboxes of a release server tell: rollouts, and uploads that fail.

Pure: each function compares what is there with what is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gapless.notify.memory import Memory
from gapless.notify.model import Event, Kind
from gapless.push.outcome import Outcome, Stage
from gapless.rollout.model import Rollout, State

_KINDS = {
    State.DONE: Kind.DONE,
    State.HELD: Kind.HELD,
    State.STUCK: Kind.HELD,
    State.REVERTED: Kind.REVERTED,
}


def of_rollouts(
    rollouts: Mapping[str, Rollout | None], memory: Memory, at: str
) -> list[Event]:
    """Return an event for each rollout that has come to a state that people are told.

    *rollouts* has the fleets whose coordinators have answered; None: there is no rollout.
    """
    found = []
    for app, rollout in rollouts.items():
        source = f"rollouts of {app}"
        is_news = app in memory.rollouts or source in memory.sources
        memory.looked_at(source)
        if rollout is None:
            continue
        now = f"{rollout.number}.{rollout.attempt} {rollout.state.value}"
        if memory.rollouts.get(app) == now:
            continue
        memory.rollouts[app] = now
        if is_news and rollout.state in _KINDS:
            found.append(_of_rollout(app, rollout, now, at))
    return found


def _of_rollout(app: str, rollout: Rollout, now: str, at: str) -> Event:
    why = f": {rollout.reason}" if rollout.reason else ""
    hint = ""
    if rollout.state in (State.HELD, State.STUCK):
        hint = f"gapless rollout status {app}; then resume or abort"
    text = (
        f"{app}: rollout {rollout.number} to {rollout.release} "
        f"{rollout.state.value}{why}"
    )
    return Event(
        # A coordinator that was emptied counts from 1 again.
        identity=f"rollout {app} {now} {rollout.began_at}",
        kind=_KINDS[rollout.state],
        app=app,
        text=text,
        at=at,
        details={
            "rollout": rollout.number,
            "state": rollout.state.value,
            "release": {"old": rollout.previous or None, "new": rollout.release},
            "reason": rollout.reason or None,
            "by": rollout.by or None,
            "hint": hint or None,
        },
    )


def of_uploads(folders: Mapping[str, Iterable[Outcome]], memory: Memory) -> list[Event]:
    """Return an event for each upload that became no release.

    *folders* has the outcomes of the folders that were read.
    """
    found = []
    for folder, outcomes in folders.items():
        source = f"uploads of {folder}"
        is_known = source in memory.sources
        before, there = memory.outcomes.get(folder, {}), dict[str, str]()
        for each in outcomes:
            key, stage = f"{each.app}/{each.upload}", each.stage.value
            # The name may be used again, and the upload be refused again: `at` is of each.
            there[key] = f"{stage} {each.at}"
            # Earlier versions have noted the stage alone.
            is_new = before.get(key) not in (there[key], stage)
            # One that failed later has a report of the supervisor, or a rollout.
            if is_new and is_known and each.stage is Stage.REFUSED:
                found.append(_of_upload(each))
        memory.outcomes[folder] = there
        memory.looked_at(source)
    return found


def _of_upload(outcome: Outcome) -> Event:
    stage = outcome.stage.value
    return Event(
        identity=f"upload {outcome.app} {outcome.upload} {stage} {outcome.at}",
        kind=Kind.FAILED,
        app=outcome.app,
        text=f"{outcome.app}: the upload {outcome.upload} {stage}: {outcome.detail}",
        at=outcome.at,
        details={
            "upload": outcome.upload,
            "release": {"old": None, "new": outcome.release or None},
            "reason": outcome.detail or None,
        },
    )
