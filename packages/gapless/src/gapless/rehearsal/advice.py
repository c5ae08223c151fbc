"""What an app would need for a release without a loss, and why.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gapless.rehearsal.handoffs import text_of
from gapless.rehearsal.load.model import CLOSED, RESET, STATUS, TIMED_OUT, TRUNCATED
from gapless.rehearsal.model import (
    AT_REST,
    CANDIDATE,
    OVER,
    WAY_BACK,
    Advice,
    HandoffResult,
)
from gapless.rehearsal.results import Results
from gapless.supervisor.memory.spec import AppSpec, Overlap

LONGER, LIBRARY = "a longer time-out", "the drain library"
_PAGE = "docs/drain.md"
_CONFLICT = ("open for writing", "holds a lock")
_NEARLY = 0.5
"""A drain that took so much of its time-out is told."""


def advice(
    spec: AppSpec, handoffs: Sequence[HandoffResult], found: Results
) -> tuple[Advice, ...]:
    """Return what would help, the most certain first."""
    seen: list[Advice] = []
    for each in handoffs:
        seen += _of_failure(spec, each)
        seen += _of_end(spec, each)
    seen += _of_losses(spec, handoffs, found)
    first = {(each.need, each.write): each for each in reversed(seen)}
    return tuple(each for each in seen if first[each.need, each.write] is each)


def _of_failure(spec: AppSpec, handoff: HandoffResult) -> list[Advice]:
    if handoff.is_done:
        return []
    reason = handoff.reason
    if any(each in reason for each in _CONFLICT):
        return [
            Advice(
                need="overlap = false",
                why=f"two generations would have the same state on disk: {reason}",
                write=handoff.hint or "overlap = false",
            )
        ]
    if "ready" in reason or "listen" in reason:
        longer_s = max(2 * spec.ready.timeout_s, 10.0)
        return [
            Advice(
                need="a longer time-out, or another release",
                why=f"the new generation did not take over: {reason}",
                write=f"ready = {{ timeout_s = {longer_s:g} }}, if it only starts slowly",
            )
        ]
    return []


def _of_end(spec: AppSpec, handoff: HandoffResult) -> list[Advice]:
    """Return what the end of the old generation says."""
    limit_s = spec.stop.drain_timeout_s
    if handoff.cut_count:
        reasons = sorted({str(each.get("reason", "")) for each in handoff.cut})
        why = f"work was cut while the old generation ended: {'; '.join(reasons)}"
        if not handoff.counts_requests and all("connections" in e for e in handoff.cut):
            why += (
                ". Clients that never pause keep a connection busy for ever, and an app "
                "that counts closes it after an answer"
            )
            return [Advice(need=LIBRARY, why=why, write=_PAGE)]
        longer = f"stop = {{ drain_timeout_s = {2 * limit_s:g} }}"
        return [Advice(need=LONGER, why=why, write=longer)]
    if handoff.drained_s is not None and handoff.drained_s > _NEARLY * limit_s:
        return [
            Advice(
                need=LONGER,
                why=f"the old generation drained for {handoff.drained_s:.1f} s, and would "
                f"be cut after {limit_s:g} s: busier clients take longer",
                write=f"stop = {{ drain_timeout_s = {2 * limit_s:g} }}",
            )
        ]
    return []


def _of_losses(
    spec: AppSpec, handoffs: Sequence[HandoffResult], found: Results
) -> list[Advice]:
    seen = []
    if found.lost_in(AT_REST):
        seen.append(
            Advice(
                need="a look at the current release",
                why=f"{found.lost_in(AT_REST)} requests were lost before anything was "
                "changed",
                write="--rate sends fewer; --path asks for something else",
            )
        )
    if found.lost_in(CANDIDATE):
        seen.append(
            Advice(
                need="a look at the candidate",
                why=f"{found.lost_in(CANDIDATE)} requests were lost while it served alone: "
                "no handoff can help",
                write="its log, and what was lost below",
            )
        )
    during = [each for each in found.losses if each.window in (OVER, WAY_BACK)]
    fates = {each.fate for each in during}
    untaken = next(
        (each.not_taken_over for each in handoffs if each.not_taken_over), ""
    )
    kept = [e for e in during if e.is_reused and e.fate in (RESET, CLOSED, TRUNCATED)]
    if kept:
        why = (
            f"{len(kept)} requests on open connections were lost when the old one ended"
        )
        if untaken:
            why += f", which could not be taken over: {untaken}"
        seen.append(Advice(need=LIBRARY, why=why, write=_PAGE))
    if STATUS in fates and spec.overlap is not Overlap.NEVER:
        seen.append(
            Advice(
                need="the drain library, or overlap = false",
                why="answers of 500 to 599 came during a handoff: the old generation "
                "refuses what it still gets, or the two disturb each other's state",
                write="docs/drain.md, docs/state.md",
            )
        )
    if TIMED_OUT in fates:
        seen.append(
            Advice(
                need="a faster start",
                why="requests waited for longer than their time-out during a handoff",
                write='ready = { http = "/health" } waits until it really answers',
            )
        )
    return seen


def hint_of_start(report: Mapping[str, Any]) -> str:
    """Return what may help if the current release does not start in a rehearsal."""
    text = text_of(report).lower()
    if "denied" in text or "eacces" in text or "eperm" in text:
        return (
            "in a rehearsal an app writes below its own directory only: --writable DIR "
            "lets it write elsewhere"
        )
    if "refused" in text or "unreachable" in text:
        return (
            "in a private network it reaches no database by TCP: --set NAME=VALUE may name "
            "another, --network host needs a port that can be changed"
        )
    return "--set NAME=VALUE changes its environment for the rehearsal"
