"""The decisions about a rollout: which hosts may begin, and what has to happen to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gapless.rollout import decide
from gapless.rollout.model import (
    TRANSITIONS,
    Action,
    HostReport,
    Phase,
    Rollout,
    State,
)
from gapless.rollout.policy import Policy
from gapless.rollout.status import status_of

NEW, OLD = "app-2", "app-1"


def rollout(**policy: object) -> Rollout:
    """Return a rollout with a policy."""
    own = Policy(**policy)  # type: ignore[arg-type]  # as it is
    return Rollout(app="app", number=2, release=NEW, previous=OLD, policy=own)


def host(
    name: str,
    release: str = OLD,
    phase: Phase = Phase.IDLE,
    turn: tuple[int, int] = (2, 1),
) -> HostReport:
    """Return the report of a host."""
    return HostReport(host=name, release=release, phase=phase, turn=turn)


def who_may(wanted: Rollout, *hosts: HostReport, frozen: str = "") -> list[str]:
    """Return the hosts that may take a slot."""
    status = status_of(wanted, hosts)
    return [
        h.host for h in hosts if decide.waits_for(wanted, status, h, frozen) is None
    ]


def test_without_stages_all_may() -> None:
    """Without canary and waves every host may begin."""
    assert who_may(rollout(), host("a"), host("b")) == ["a", "b"]


def test_a_canary_goes_first_and_is_waited_for_until_it_was_watched() -> None:
    """The others wait until the canary was watched."""
    wanted = rollout(canary=("b",))
    assert who_may(wanted, host("a"), host("b"), host("c")) == ["b"]
    watched = host("b", NEW, Phase.WATCHING)
    assert who_may(wanted, host("a"), watched, host("c")) == ["b"]  # it goes on
    done = host("b", NEW, Phase.DONE)
    assert who_may(wanted, host("a"), done, host("c")) == ["a", "c"]


def test_without_any_canary_there_nobody_begins() -> None:
    """The reason names the canaries."""
    wanted = rollout(canary=("b",))
    status = status_of(wanted, [host("a")])
    assert "no canary is there: b" in str(decide.waits_for(wanted, status, host("a")))


def test_waves_follow_one_another() -> None:
    """A wave begins when the one before has arrived."""
    wanted = rollout(waves=("1", "50%"))
    fleet = [host(name) for name in "abcd"]
    assert who_may(wanted, *fleet) == ["a"]
    fleet[0] = host("a", NEW, Phase.DONE)
    assert who_may(wanted, *fleet) == ["b"]
    fleet[1] = host("b", NEW, Phase.DONE)
    assert who_may(wanted, *fleet) == ["c", "d"]


def test_a_freeze_holds_the_way_forward_and_not_the_way_back() -> None:
    """Hosts go back during a freeze, too."""
    assert who_may(rollout(), host("a"), frozen="fri") == []
    back = replace(rollout(), state=State.REVERTING, attempt=2)
    assert who_may(back, host("a", NEW, Phase.DONE), frozen="fri") == ["a"]


def test_who_failed_tries_again_after_resume() -> None:
    """A host that failed may begin only in the next attempt."""
    failed = host("a", OLD, Phase.FAILED)
    assert who_may(rollout(), failed) == []
    held = decide.transition(rollout(), Action.HOLD, "a failed")
    assert held is not None
    assert who_may(held, failed, host("b")) == []
    resumed = decide.transition(held, Action.RESUME, "")
    assert resumed is not None
    assert who_may(resumed, failed) == ["a"]


def test_who_failed_while_it_was_watched_is_watched_again_after_resume() -> None:
    """It runs the release already, and takes a slot to be watched again."""
    resumed = replace(rollout(), attempt=2)
    assert who_may(resumed, host("a", NEW, Phase.FAILED)) == ["a"]


def test_a_host_that_comes_late_catches_up() -> None:
    """It may begin although the rollout is done."""
    done = replace(rollout(), state=State.DONE)
    assert who_may(done, host("late", OLD, turn=(1, 1)), host("b", NEW)) == ["late"]


def test_a_host_whose_app_was_stopped_by_hand_holds_nothing_up() -> None:
    """It takes no part in the rollout."""
    hosts = [host("a", NEW, Phase.DONE), host("b", OLD, Phase.STOPPED)]
    found = decide.verdict(rollout(), status_of(rollout(), hosts))
    assert found == (Action.FINISH, "1 of 1 hosts")


@pytest.mark.parametrize(
    ("hosts", "policy", "action"),
    [
        ([host("a", OLD, Phase.FAILED), host("b")], {}, Action.HOLD),
        ([host("a", NEW, Phase.FAILED), host("b")], {}, Action.REVERT),
        ([host("a", NEW, Phase.FAILED)], {"revert": False}, Action.HOLD),
        ([host("a", OLD, Phase.FAILED), host("b", NEW, Phase.DONE)], {}, Action.REVERT),
        (
            [host("a", OLD, Phase.FAILED), host("b", OLD, Phase.CHANGING)],
            {},
            Action.REVERT,
        ),
        (
            [host("a", OLD, Phase.FAILED), host("b", NEW, Phase.DONE)],
            {"max_failures": 1},
            Action.FINISH,
        ),
        # It serves nowhere, and the link is flipped to what is done.
        ([host("a", OLD, Phase.FAILED)], {"max_failures": 1}, Action.HOLD),
        ([host("a", NEW, Phase.FAILED)], {"max_failures": 1}, Action.REVERT),
        ([host("a", NEW, Phase.DONE), host("b", NEW, Phase.WATCHING)], {}, None),
        ([host("a", NEW, Phase.DONE), host("b", NEW, Phase.DONE)], {}, Action.FINISH),
        ([], {}, None),
    ],
)
def test_the_verdict_on_the_way_forward(
    hosts: list[HostReport], policy: dict[str, object], action: Action | None
) -> None:
    """Failures hold or revert; a rollout without them finishes."""
    wanted = rollout(**policy)
    found = decide.verdict(wanted, status_of(wanted, hosts))
    assert (found[0] if found else None) is action


@pytest.mark.parametrize(
    ("hosts", "action"),
    [
        ([host("a", NEW, Phase.FAILED)], None),  # of the way forward: it has to go back
        ([host("a", OLD, Phase.FAILED)], Action.FINISH),  # it never left
        ([host("a", OLD, Phase.CHANGING)], None),  # it may still arrive
        ([host("a", OLD, Phase.DONE, (2, 2)), host("b")], Action.FINISH),
        ([host("a", NEW, Phase.FAILED, (2, 2))], Action.HOLD),
    ],
)
def test_the_verdict_on_the_way_back(
    hosts: list[HostReport], action: Action | None
) -> None:
    """A failure holds; the rollout finishes when every host is back."""
    wanted = replace(rollout(), state=State.REVERTING, attempt=2)
    found = decide.verdict(wanted, status_of(wanted, hosts))
    assert (found[0] if found else None) is action


def test_deadlines_hold() -> None:
    """Past its deadline a rollout is held, also on its way back."""
    status = status_of(rollout(), [host("a")])
    late = decide.verdict(rollout(deadline_s=10.0), status, age_s=10.0)
    assert late == (Action.HOLD, "not done in 10 s")
    back = replace(rollout(revert_deadline_s=9.0), state=State.REVERTING)
    status = status_of(back, [host("a", NEW)])
    assert decide.verdict(back, status, age_s=9.0) == (Action.HOLD, "not back in 9 s")


def test_slots_never_take_every_host() -> None:
    """One host at least stays as it is, unless it is the only one."""
    assert decide.slots(rollout(slots="5"), 3) == 2
    assert decide.slots(rollout(slots="100%"), 8) == 7
    assert decide.slots(rollout(slots="1"), 1) == 1


def test_a_newer_release_goes_back_to_what_was_good() -> None:
    """That is the release of a rollout that is done, not of one under way."""
    done = replace(rollout(), state=State.DONE)
    assert decide.successor(done, "app-3", "") == (3, NEW)
    assert decide.successor(rollout(), "app-3", "") == (3, OLD)
    assert decide.successor(None, "app-3", OLD) == (1, OLD)
    assert decide.successor(rollout(), OLD, "") == (3, "")


def test_without_a_release_of_before_nothing_turns_back() -> None:
    """The first rollout is held instead of reverted."""
    first = replace(rollout(), previous="")
    status = status_of(first, [host("a", NEW, Phase.FAILED)])
    found = decide.verdict(first, status)
    assert found is not None
    assert found[0] is Action.HOLD
    assert decide.transition(first, Action.REVERT, "") is None


def test_every_state_that_is_not_the_end_can_be_left() -> None:
    """Every state is reached and left by some action."""
    left = {state for state, _ in TRANSITIONS}
    assert left == set(State)
    assert set(TRANSITIONS.values()) == set(State)


def test_the_reason_has_what_the_first_that_failed_said() -> None:
    """The operator who reads why it is held need not look at each host."""
    failed = replace(host("b", OLD, Phase.FAILED), reason="it never listened")
    status = status_of(rollout(), [host("a"), failed])
    assert decide.verdict(rollout(), status) == (
        Action.HOLD,
        "b failed: it never listened",
    )
