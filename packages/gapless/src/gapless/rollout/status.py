"""How far the live hosts are with a rollout.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gapless.rollout.model import AT_WORK, BACK, HostReport, Phase, Rollout, State
from gapless.rollout.policy import share


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """The live hosts that take part in a rollout, by what they have done."""

    order: tuple[str, ...]
    """All of them in the order in which they change: canaries, then by name."""
    arrived: frozenset[str]
    """Those that run their target, or on which it ended, and were watched."""
    failed: frozenset[str]
    failure: str
    """The reason of the first that failed, by name."""
    changed: frozenset[str]
    """Those that run the release, may be changing to it, or lost what ran by it."""
    stuck: frozenset[str]
    """Those that failed although they had run the release."""
    first: tuple[str, ...]
    """Those that ran the release, or lost what ran by it, and are not back yet."""
    begun: frozenset[str]
    """Those in the stages that have begun."""
    wait_for: tuple[str, ...]
    """Those that the next stage waits for."""


def status_of(rollout: Rollout, hosts: Iterable[HostReport]) -> RolloutStatus:
    """Return the status of a rollout from the reports of the live hosts."""
    taking_part: list[str] = []
    arrived, changed, stuck = set[str](), set[str](), set[str]()
    first: list[str] = []
    failures: dict[str, str] = {}
    for each in hosts:
        if _is_left_out(each):
            continue
        taking_part.append(each.host)
        if has_arrived(rollout, each):
            arrived.add(each.host)
        if has_failed(rollout, each):
            failures[each.host] = each.reason
            if _has_run(rollout, each):
                stuck.add(each.host)
        if _has_changed(rollout, each):
            changed.add(each.host)
        if each.host not in arrived and _goes_back_first(rollout, each):
            first.append(each.host)
    canaries = [name for name in rollout.policy.canary if name in taking_part]
    order = (*canaries, *sorted(set(taking_part) - set(canaries)))
    begun = len(order)
    wait_for: tuple[str, ...] = ()
    for size in _stages(rollout, len(canaries), len(order)):
        behind = [h for h in order[:size] if h not in arrived and h not in failures]
        if behind:
            begun, wait_for = size, tuple(behind)
            break
    return RolloutStatus(
        order=order,
        arrived=frozenset(arrived),
        failed=frozenset(failures),
        failure=failures[min(failures)] if failures else "",
        changed=frozenset(changed),
        stuck=frozenset(stuck),
        first=tuple(first) if rollout.state is State.REVERTING else (),
        begun=frozenset(order[:begun]),
        wait_for=wait_for,
    )


def has_arrived(rollout: Rollout, report: HostReport) -> bool:
    """Return whether a host runs its target, and was watched long enough."""
    if _is_changing(rollout, report) or has_failed(rollout, report):
        return False
    if not rollout.target:
        return True  # there is nothing to go back to
    # One that failed in an earlier attempt is watched again; on the way back it never left.
    failed_before = _is_of(rollout, report) and report.phase is Phase.FAILED
    is_back = rollout.state in BACK
    return _has(report, rollout.target) and (is_back or not failed_before)


def has_failed(rollout: Rollout, report: HostReport) -> bool:
    """Return whether a host failed in this attempt."""
    return report.turn == rollout.turn and report.phase is Phase.FAILED


def _is_left_out(report: HostReport) -> bool:
    """Return whether a host takes no part: it follows when it serves again."""
    is_draining = report.drains and report.phase not in AT_WORK
    return report.phase is Phase.STOPPED or is_draining


def _has_changed(rollout: Rollout, report: HostReport) -> bool:
    if _has(report, rollout.release) or _is_changing(rollout, report):
        return True
    # What it was brought to has given up since, or what ran before is gone.
    had_turn = _is_of(rollout, report) and report.phase in (Phase.DONE, Phase.FAILED)
    if not had_turn or report.release:
        return False
    # A job of an earlier release had ended before: then nothing is lost.
    return not report.finished or report.ran == rollout.number


def _has_run(rollout: Rollout, report: HostReport) -> bool:
    """Return whether the release ran on a host, or has ended there as it may."""
    return report.ran == rollout.number or _has(report, rollout.release)


def _goes_back_first(rollout: Rollout, report: HostReport) -> bool:
    """Return whether a host has changed and did not try yet to go back."""
    if _has_run(rollout, report):
        return not has_failed(rollout, report)
    # In this attempt a host that never ran the release may be changing as well.
    return report.turn != rollout.turn and _has_changed(rollout, report)


def _has(report: HostReport, release: str) -> bool:
    """Return whether a release runs on a host, or has ended there as it may."""
    return release in (report.release, report.finished)


def _is_changing(rollout: Rollout, report: HostReport) -> bool:
    at_work = report.phase in (Phase.CHANGING, Phase.WATCHING)
    return _is_of(rollout, report) and at_work


def _is_of(rollout: Rollout, report: HostReport) -> bool:
    """Return whether the phase of a host is about this rollout."""
    return report.turn[0] == rollout.number


def _stages(rollout: Rollout, canaries: int, hosts: int) -> list[int]:
    """Return how many hosts have changed at the end of each stage but the last."""
    if rollout.state is not State.ROLLING:
        return []
    sizes = [canaries] if canaries else []
    sizes += [share(word, hosts) for word in rollout.policy.waves]
    return sorted({size for size in sizes if 0 < size < hosts})
