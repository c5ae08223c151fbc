"""Which hosts are back on the release before, and which have changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gapless.rollout import decide
from gapless.rollout.model import Action, HostReport, Phase, Rollout, State
from gapless.rollout.status import status_of

R0, R1, R2, R3 = (f"app-2026010100000{number}" for number in range(4))
WAY_ON = Rollout(app="app", number=6, release=R2, previous=R1)
WAY_BACK = replace(WAY_ON, state=State.REVERTING, attempt=2)
OVER = replace(WAY_BACK, state=State.REVERTED)


def host(
    name: str,
    release: str,
    phase: Phase = Phase.IDLE,
    turn: tuple[int, int] = (6, 1),
    *,
    finished: str = "",
    ran: int = 0,
) -> HostReport:
    """Return the report of a host."""
    return HostReport(
        host=name, release=release, phase=phase, turn=turn, finished=finished, ran=ran
    )


def may_begin(rollout: Rollout, report: HostReport) -> bool:
    """Return whether a host may take a slot."""
    return decide.waits_for(rollout, status_of(rollout, [report]), report) is None


def verdict(rollout: Rollout, *hosts: HostReport) -> Action | None:
    """Return what has to happen to a rollout."""
    found = decide.verdict(rollout, status_of(rollout, hosts))
    return found[0] if found else None


NOT_BACK = [
    host("a", R2, Phase.FAILED),
    host("a", "", Phase.FAILED),  # it gave up
    host("a", "", Phase.DONE),  # it gave up after it was watched
    host("a", "", turn=(0, 0)),  # the app never ran there
    host("a", R3, Phase.DONE, (5, 1)),  # of a rollout that this one superseded
    host("a", R0, Phase.DONE, (4, 1)),  # it was away for days
    host("a", "?"),  # it runs, and from no release
    host("a", R1, Phase.CHANGING),
    host("a", R1, Phase.WATCHING, (6, 2)),
]


@pytest.mark.parametrize("report", NOT_BACK)
def test_a_host_that_does_not_run_the_release_before_goes_back_to_it(
    report: HostReport,
) -> None:
    """Whatever else it runs; the rollout waits for it, and a late one follows, too."""
    assert verdict(WAY_BACK, report, host("b", R1)) is None
    assert may_begin(WAY_BACK, report)
    assert may_begin(OVER, report)


@pytest.mark.parametrize(
    "report",
    [
        host("a", R1, Phase.FAILED),  # its release never switched
        host("a", R1, Phase.WAITING),
        host("a", R1, Phase.DONE, (6, 2)),
        host("a", "", Phase.STOPPED),
    ],
)
def test_a_host_that_runs_the_release_before_is_back(report: HostReport) -> None:
    """It may never have left; an app that was stopped by hand is not waited for."""
    assert verdict(WAY_BACK, report, host("b", R1)) is Action.FINISH


def test_without_a_release_before_nothing_is_to_be_done_on_the_way_back() -> None:
    """Whatever a host runs."""
    back = replace(WAY_BACK, previous="")
    for report in NOT_BACK[:4]:
        assert decide.waits_for(back, status_of(back, [report]), report) == ""
        assert verdict(back, report) is Action.FINISH


@pytest.mark.parametrize(
    ("report", "action"),
    [
        (host("a", "", Phase.FAILED), Action.REVERT),  # it gave up
        (host("a", R2, Phase.FAILED), Action.REVERT),
        (host("a", R1, Phase.FAILED), Action.HOLD),  # the one before serves on
        (host("a", R0, Phase.FAILED), Action.HOLD),
    ],
)
def test_a_host_that_failed_has_changed_if_what_ran_there_is_gone(
    report: HostReport, action: Action
) -> None:
    """Then the rollout turns back, so that the host runs the release before again."""
    assert verdict(WAY_ON, report, host("b", R1)) is action


def test_a_host_that_never_ran_the_app_and_fails_first_starts_the_release_before() -> (
    None
):
    """Without a release before the rollout is held."""
    failed = host("new", "", Phase.FAILED)
    assert verdict(WAY_ON, failed) is Action.REVERT
    assert may_begin(WAY_BACK, failed)
    assert verdict(replace(WAY_ON, previous=""), failed) is Action.HOLD


# --- an app that has ended by itself, as its settings allow ------------------------------


def test_a_job_that_ended_after_its_turn_is_done() -> None:
    """It runs no more, and is not started again for the same rollout."""
    done = host("a", "", Phase.DONE, finished=R2)
    assert verdict(WAY_ON, done) is Action.FINISH
    assert not may_begin(replace(WAY_ON, state=State.DONE), done)
    later = replace(WAY_ON, number=7, release=R3, previous=R2)
    assert may_begin(later, done)


def test_what_ended_while_it_was_watched_has_failed_and_goes_back() -> None:
    """Also if the host has to be started with the release before."""
    failed = host("a", "", Phase.FAILED, finished=R2)
    assert verdict(WAY_ON, failed, host("b", R1)) is Action.REVERT
    assert may_begin(WAY_BACK, failed)
    assert may_begin(replace(WAY_ON, attempt=2), failed)


def test_a_job_of_the_release_before_is_not_lost_where_the_next_one_is_not_fetched() -> (
    None
):
    """Nothing has changed on a host that runs nothing at rest."""
    failed = host("a", "", Phase.FAILED, finished=R1)
    rest = host("b", "", Phase.WAITING, finished=R1)
    assert verdict(WAY_ON, failed, rest) is Action.HOLD
    older = host("a", "", Phase.FAILED, finished=R0)
    assert verdict(WAY_ON, older, rest) is Action.HOLD
    assert verdict(WAY_ON, replace(failed, finished=R2), rest) is Action.REVERT
    assert verdict(WAY_ON, replace(failed, ran=6), rest) is Action.REVERT


def test_where_the_release_before_has_ended_nothing_is_to_be_done_on_the_way_back() -> (
    None
):
    """It had come there, and ended as its settings allow."""
    ended = host("b", "", Phase.WAITING, finished=R1)
    assert verdict(WAY_BACK, ended) is Action.FINISH


# --- hosts that never ran the release -----------------------------------------------------

ON_BAD = (host("a", R2, Phase.DONE, ran=6), host("b", R2, Phase.FAILED, ran=6))
BACK_AGAIN = (host("a", R1, Phase.DONE, (6, 2), ran=6), host("b", R1))
NEVER_CHANGED = [
    host("c", R0, Phase.FAILED, (6, 2)),
    host("c", R1, Phase.FAILED, (6, 2)),  # it runs there, and is not healthy
    host("c", "", Phase.FAILED, (6, 2)),  # a new host
    host("c", "", Phase.FAILED, (6, 2), ran=5),
    host("c", "", Phase.FAILED, (6, 2), finished=R1),
]


@pytest.mark.parametrize("failed", NEVER_CHANGED)
def test_a_host_that_never_ran_the_release_stops_nobody_on_the_way_back(
    failed: HostReport,
) -> None:
    """The others leave the release; the reason of the end names who failed."""
    assert verdict(WAY_BACK, *ON_BAD, failed) is None
    back = replace(WAY_BACK, reason="b failed")
    status = status_of(back, [*BACK_AGAIN, replace(failed, reason="no room")])
    assert decide.verdict(back, status) == (
        Action.FINISH,
        "b failed; c could not go back: no room",
    )


@pytest.mark.parametrize("release", [R2, R1, ""])
def test_a_host_that_ran_the_release_and_cannot_leave_it_stops_the_way_back(
    release: str,
) -> None:
    """Others would lose what serves there, too."""
    failed = host("b", release, Phase.FAILED, (6, 2), ran=6)
    assert verdict(WAY_BACK, ON_BAD[0], failed) is Action.HOLD


def test_where_no_host_can_go_back_an_operator_is_needed() -> None:
    """None of them ran the release, and none serves what it should."""
    assert verdict(WAY_BACK, *NEVER_CHANGED[:1]) is Action.HOLD


@pytest.mark.parametrize(
    "changed",
    [
        host("a", R2, Phase.DONE),
        host("a", R1, Phase.CHANGING),
        host("a", "", Phase.FAILED),
        host("a", R1, Phase.WATCHING, (6, 2), ran=6),
    ],
)
def test_hosts_that_have_changed_go_back_first(changed: HostReport) -> None:
    """The others follow: while they change as well, they wait for no one else."""
    other, third = host("c", R0, Phase.FAILED), host("d", R0)
    status = status_of(WAY_BACK, [changed, other, third])
    assert decide.waits_for(WAY_BACK, status, changed) is None
    assert decide.waits_for(WAY_BACK, status, other) == "a first"
    back = host("a", R1, Phase.DONE, (6, 2), ran=6)
    at_work = replace(other, phase=Phase.CHANGING, turn=(6, 2))
    status = status_of(WAY_BACK, [back, at_work, third])
    assert decide.waits_for(WAY_BACK, status, third) is None
