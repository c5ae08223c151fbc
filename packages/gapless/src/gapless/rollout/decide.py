"""Every decision about a rollout.  Pure: the reports of the live hosts are arguments.

Rule 1: there is no leader.  Every agent computes whether its own host may begin, and what
has to happen to the rollout: finish, hold or revert, by its own clock and by the hosts that
it sees.  They may differ for a while: the first one to write decides (compare-and-set).
Rule 2: only live hosts count.  A host that is gone delays nothing.
Rule 3: hosts go back by the same steps as forward, but without canary, waves and freeze:
those first that have changed.  One that never ran the release and fails stops nobody.
Rule 4: a rollback is a rollout to an earlier release: names of releases of one app are in
the order of their timestamps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gapless.rollout.model import (
    ENDED,
    OVER,
    TRANSITIONS,
    Action,
    HostReport,
    Phase,
    Rollout,
    State,
)
from gapless.rollout.policy import share
from gapless.rollout.status import RolloutStatus, has_arrived, has_failed


def slots(rollout: Rollout, hosts: int) -> int:
    """Return how many of so many hosts may change at once; never all of several."""
    return min(share(rollout.policy.slots, hosts), max(1, hosts - 1))


def waits_for(
    rollout: Rollout, status: RolloutStatus, report: HostReport, frozen: str = ""
) -> str | None:
    """Return what a host waits for before it may take a slot.

    None: it may take one now.  Empty: it has nothing to do.  *frozen* is the window of a
    freeze, if there is one now.
    """
    if has_arrived(rollout, report) or has_failed(rollout, report):
        return ""
    if rollout.state in (State.HELD, State.STUCK):
        return f"held: {rollout.reason}"
    if not rollout.target:
        return ""
    if rollout.state is State.ROLLING:
        if frozen:
            return f"frozen: {frozen}"
        if rollout.policy.canary and not _has_canary(rollout, status):
            return f"no canary is there: {', '.join(rollout.policy.canary)}"
        if report.host not in status.begun:
            return f"its wave: {_names(status.wait_for)} first"
    if status.first and report.host not in status.first:
        return f"{_names(status.first)} first"
    return None


def _has_canary(rollout: Rollout, status: RolloutStatus) -> bool:
    # Canaries are first in order.
    return bool(status.order) and status.order[0] in rollout.policy.canary


def verdict(
    rollout: Rollout, status: RolloutStatus, age_s: float = 0.0
) -> tuple[Action, str] | None:
    """Return what has to happen to a rollout and why; None: it goes on as it is.

    *age_s* is for how long the caller has seen this attempt.
    """
    policy, failed = rollout.policy, status.failed
    if rollout.state is State.ROLLING:
        all_failed = bool(failed) and failed == set(status.order)
        if all_failed or len(failed) > policy.max_failures:
            why = f"{_names(failed)} failed{_failure(status)}"
            go_back = policy.revert and rollout.previous and status.changed
            return (Action.REVERT if go_back else Action.HOLD), why
        if policy.deadline_s and age_s >= policy.deadline_s:
            return Action.HOLD, f"not done in {policy.deadline_s:g} s"
        if status.order and status.arrived | failed == set(status.order):
            return Action.FINISH, f"{len(status.arrived)} of {len(status.order)} hosts"
    if rollout.state is State.REVERTING:
        not_back = f"{_names(failed)} could not go back{_failure(status)}"
        # One that never ran the release stops nobody who has to leave it.
        if status.stuck or (failed and failed == set(status.order)):
            return Action.HOLD, not_back
        if policy.revert_deadline_s and age_s >= policy.revert_deadline_s:
            return Action.HOLD, f"not back in {policy.revert_deadline_s:g} s"
        if status.arrived | failed == set(status.order):
            reasons = (rollout.reason, not_back if failed else "")
            return Action.FINISH, "; ".join(filter(None, reasons))
    return None


def transition(rollout: Rollout, action: Action, reason: str) -> Rollout | None:
    """Return a rollout after an action; None if its state does not allow the action."""
    state = TRANSITIONS.get((rollout.state, action))
    if state is None or (action is Action.REVERT and not rollout.previous):
        return None
    is_new_attempt = action in (Action.RESUME, Action.REVERT)
    return replace(
        rollout,
        state=state,
        reason=reason,
        attempt=rollout.attempt + is_new_attempt,
        settled=False,
    )


def successor(
    before: Rollout | None,
    release: str,
    previous: str,
    reports: Iterable[HostReport] = (),
) -> tuple[int, str]:
    """Return number and previous release of the rollout to *release* after *before*.

    *previous* is a release that is known to be good.  The release of a rollout under way is
    not, unless it is a rollback: then hosts go back to the release before it.  *reports*
    are of all hosts: a release that failed on one of them is not good either.
    """
    if before is None:
        return 1, previous
    is_good = before.state is State.DONE or _is_good_rollback(before, reports)
    back = (before.release if is_good else before.previous) or previous
    return before.number + 1, "" if back == release else back


def _is_good_rollback(rollout: Rollout, reports: Iterable[HostReport]) -> bool:
    """Return whether a rollout under way leaves a release for a good one before it."""
    is_on_its_way = rollout.state in (State.ROLLING, State.HELD)
    if not (is_on_its_way and rollout.release < rollout.previous):
        return False
    return not any(
        each.turn[0] == rollout.number and each.phase is Phase.FAILED
        for each in reports
    )


def goes_back(rollout: Rollout, superseded: str) -> bool:
    """Return whether hosts are on their way to an earlier release.

    *superseded* is the release of the rollout before: `previous` is empty if a rollback
    left a rollout that was not done.
    """
    if rollout.state is State.REVERTING:
        return True
    is_earlier = rollout.release < max(rollout.previous, superseded)
    return rollout.state is State.ROLLING and is_earlier


def superseded_by(number: int) -> str:
    """Return the outcome of a rollout that another superseded."""
    return f"superseded by {number}"


def is_over(rollout: Rollout) -> bool:
    """Return whether a rollout is over, but for hosts that come late."""
    return rollout.state in OVER


def needs_finalizing(rollout: Rollout) -> bool:
    """Return whether a rollout has ended, and its end was not finalized yet."""
    return rollout.state in ENDED and not rollout.settled


def _failure(status: RolloutStatus) -> str:
    return f": {status.failure}" if status.failure else ""


def _names(hosts: Iterable[str]) -> str:
    names = sorted(hosts)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
