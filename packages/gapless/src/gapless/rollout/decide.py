"""Every decision about a rollout.  Pure: who is there and what they say are arguments.

Rule 1: nobody is in charge.  Each host asks `may_begin` for itself, and whoever sees first
that a rollout has to go on, to stop or to turn back writes that down (compare-and-set).
Rule 2: only hosts that are there count.  One that is gone holds nothing up.
Rule 3: way forward and way back are the same steps; the way back has no canary, no waves
and no freeze.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gapless.rollout.model import (
    AT_WORK,
    BACK,
    ENDED,
    OVER,
    TRANSITIONS,
    Cue,
    HostReport,
    Phase,
    Rollout,
    State,
)
from gapless.rollout.policy import share


@dataclass(frozen=True, slots=True)
class Survey:
    """The hosts that are there, seen with a rollout's eyes; made once per look."""

    order: tuple[str, ...]
    """In which they change: canaries, then by name."""
    settled: frozenset[str]
    """Where they should be, and watched long enough."""
    failed: frozenset[str]
    failure: str
    """What the first of them said."""
    changed: frozenset[str]
    """Those that run the release, or may be on their way to it."""
    begun: frozenset[str]
    """Those in the stages that have begun."""
    wait_for: tuple[str, ...]
    """Whom the next stage waits for."""


def survey(rollout: Rollout, hosts: Iterable[HostReport]) -> Survey:
    """Return what *hosts*, those that are there, mean for a rollout."""
    here: list[str] = []
    settled, changed = set[str](), set[str]()
    failures: dict[str, str] = {}
    for each in hosts:
        if _is_out(each):
            continue
        here.append(each.host)
        if is_settled(rollout, each):
            settled.add(each.host)
        if has_failed(rollout, each):
            failures[each.host] = each.reason
        if _has_changed(rollout, each):
            changed.add(each.host)
    canaries = [name for name in rollout.policy.canary if name in here]
    order = (*canaries, *sorted(set(here) - set(canaries)))
    begun = len(order)
    wait_for: tuple[str, ...] = ()
    for size in _stages(rollout, len(canaries), len(order)):
        behind = [h for h in order[:size] if h not in settled and h not in failures]
        if behind:
            begun, wait_for = size, tuple(behind)
            break
    return Survey(
        order=order,
        settled=frozenset(settled),
        failed=frozenset(failures),
        failure=failures[min(failures)] if failures else "",
        changed=frozenset(changed),
        begun=frozenset(order[:begun]),
        wait_for=wait_for,
    )


def _is_out(report: HostReport) -> bool:
    """Tell whether a host is left alone for now: it follows when it serves again."""
    rests = report.drains and report.phase not in AT_WORK
    return report.phase is Phase.STOPPED or rests


def slots(rollout: Rollout, there: int) -> int:
    """Return how many hosts may be changing at once; never all of several."""
    return min(share(rollout.policy.slots, there), max(1, there - 1))


def is_settled(rollout: Rollout, report: HostReport) -> bool:
    """Tell whether a host is where it should be."""
    is_own = report.turn[0] == rollout.number
    if is_own and report.phase in (Phase.CHANGING, Phase.WATCHING):
        return False
    if rollout.state in BACK:
        # What failed on the way forward and never left is back already.
        return report.release != rollout.release and not has_failed(rollout, report)
    here = report.release == rollout.target
    return here and not (is_own and report.phase is Phase.FAILED)


def has_failed(rollout: Rollout, report: HostReport) -> bool:
    """Tell whether a host failed in this attempt."""
    return report.turn == rollout.turn and report.phase is Phase.FAILED


def _has_changed(rollout: Rollout, report: HostReport) -> bool:
    on_its_way = report.turn[0] == rollout.number and report.phase in (
        Phase.CHANGING,
        Phase.WATCHING,
    )
    return report.release == rollout.release or on_its_way


def _stages(rollout: Rollout, canaries: int, there: int) -> list[int]:
    """Return how many hosts have changed at the end of each stage, but the last."""
    if rollout.state is not State.ROLLING:
        return []
    sizes = [canaries] if canaries else []
    sizes += [share(word, there) for word in rollout.policy.waves]
    return sorted({size for size in sizes if 0 < size < there})


def may_begin(
    rollout: Rollout, surveyed: Survey, report: HostReport, frozen: str = ""
) -> str | None:
    """Return None if a host may take a slot now, or what it waits for.

    Nothing to wait for, and nothing to do, is the empty string.
    """
    host = report.host
    if is_settled(rollout, report) or has_failed(rollout, report):
        return ""
    if rollout.state in (State.HELD, State.STUCK):
        return f"held: {rollout.reason}"
    if not rollout.target:
        return ""
    if rollout.state is State.ROLLING:
        if frozen:
            return f"frozen: {frozen}"
        if rollout.policy.canary and not _has_canary(rollout, surveyed):
            return f"no canary is there: {', '.join(rollout.policy.canary)}"
        if host not in surveyed.begun:
            return f"its wave: {_names(surveyed.wait_for)} first"
    return None


def _has_canary(rollout: Rollout, surveyed: Survey) -> bool:
    # Canaries are first in order.
    return bool(surveyed.order) and surveyed.order[0] in rollout.policy.canary


def verdict(
    rollout: Rollout, surveyed: Survey, age_s: float = 0.0
) -> tuple[Cue, str] | None:
    """Return what a rollout has come to and why, or None: it goes on.

    *age_s* is for how long the caller has seen this attempt.
    """
    policy, failed = rollout.policy, surveyed.failed
    if rollout.state is State.ROLLING:
        nowhere = bool(failed) and failed == set(surveyed.order)
        if nowhere or len(failed) > policy.max_failures:
            why = f"{_names(failed)} failed{_because(surveyed)}"
            go_back = policy.revert and rollout.previous and surveyed.changed
            return (Cue.REVERT if go_back else Cue.HOLD), why
        if policy.deadline_s and age_s >= policy.deadline_s:
            return Cue.HOLD, f"not done in {policy.deadline_s:g} s"
        if surveyed.order and surveyed.settled | failed == set(surveyed.order):
            return Cue.FINISH, f"{len(surveyed.settled)} of {len(surveyed.order)} hosts"
    if rollout.state is State.REVERTING:
        if failed:
            return Cue.HOLD, f"{_names(failed)} could not go back{_because(surveyed)}"
        if policy.revert_deadline_s and age_s >= policy.revert_deadline_s:
            return Cue.HOLD, f"not back in {policy.revert_deadline_s:g} s"
        if surveyed.settled == set(surveyed.order):
            return Cue.FINISH, rollout.reason
    return None


def moved(rollout: Rollout, cue: Cue, reason: str) -> Rollout | None:
    """Return a rollout after a cue, or None if the cue means nothing to its state."""
    state = TRANSITIONS.get((rollout.state, cue))
    if state is None or (cue is Cue.REVERT and not rollout.previous):
        return None
    begins = cue in (Cue.RESUME, Cue.REVERT)
    return replace(
        rollout,
        state=state,
        reason=reason,
        attempt=rollout.attempt + begins,
        settled=False,
    )


def superseding(before: Rollout | None, release: str, previous: str) -> tuple[int, str]:
    """Return number and way back of a rollout to *release* that follows another.

    *previous* is what is known to be good.  One under way never is: hosts go back to
    where its predecessor was.
    """
    if before is None:
        return 1, previous
    back = before.release if before.state is State.DONE else before.previous
    back = back or previous
    return before.number + 1, "" if back == release else back


def superseded_by(number: int) -> str:
    """Return how a rollout ended whose place another has taken."""
    return f"superseded by {number}"


def is_over(rollout: Rollout) -> bool:
    """Tell whether nothing of it is left to be done but for hosts that come late."""
    return rollout.state in OVER


def is_unsettled(rollout: Rollout) -> bool:
    """Tell whether it came to an end to which nobody has seen yet."""
    return rollout.state in ENDED and not rollout.settled


def _because(surveyed: Survey) -> str:
    return f": {surveyed.failure}" if surveyed.failure else ""


def _names(hosts: Iterable[str]) -> str:
    names = sorted(hosts)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
