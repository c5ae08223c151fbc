"""Who may begin, and what a rollout has come to: values in, values out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gapless.rollout import decide
from gapless.rollout.model import (
    TRANSITIONS,
    Cue,
    HostReport,
    Phase,
    Rollout,
    State,
)
from gapless.rollout.policy import Policy

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
    """Return what a host says."""
    return HostReport(host=name, release=release, phase=phase, turn=turn)


def who_may(wanted: Rollout, *hosts: HostReport, frozen: str = "") -> list[str]:
    """Return who may begin."""
    seen = decide.survey(wanted, hosts)
    return [h.host for h in hosts if decide.may_begin(wanted, seen, h, frozen) is None]


def test_without_stages_all_may() -> None:
    """Without stages all may."""
    assert who_may(rollout(), host("a"), host("b")) == ["a", "b"]


def test_a_canary_goes_first_and_is_waited_for_until_it_was_watched() -> None:
    """A canary goes first and is waited for until it was watched."""
    wanted = rollout(canary=("b",))
    assert who_may(wanted, host("a"), host("b"), host("c")) == ["b"]
    watched = host("b", NEW, Phase.WATCHING)
    assert who_may(wanted, host("a"), watched, host("c")) == ["b"]  # it goes on
    done = host("b", NEW, Phase.DONE)
    assert who_may(wanted, host("a"), done, host("c")) == ["a", "c"]


def test_without_any_canary_there_nobody_begins() -> None:
    """Without any canary there nobody begins."""
    wanted = rollout(canary=("b",))
    seen = decide.survey(wanted, [host("a")])
    assert "no canary is there: b" in str(decide.may_begin(wanted, seen, host("a")))


def test_waves_follow_one_another() -> None:
    """Waves follow one another."""
    wanted = rollout(waves=("1", "50%"))
    fleet = [host(name) for name in "abcd"]
    assert who_may(wanted, *fleet) == ["a"]
    fleet[0] = host("a", NEW, Phase.DONE)
    assert who_may(wanted, *fleet) == ["b"]
    fleet[1] = host("b", NEW, Phase.DONE)
    assert who_may(wanted, *fleet) == ["c", "d"]


def test_a_freeze_holds_the_way_forward_and_not_the_way_back() -> None:
    """A freeze holds the way forward and not the way back."""
    assert who_may(rollout(), host("a"), frozen="fri") == []
    back = replace(rollout(), state=State.REVERTING, attempt=2)
    assert who_may(back, host("a", NEW, Phase.DONE), frozen="fri") == ["a"]


def test_who_failed_tries_again_after_resume() -> None:
    """Who failed tries again after resume."""
    failed = host("a", OLD, Phase.FAILED)
    assert who_may(rollout(), failed) == []
    held = decide.moved(rollout(), Cue.HOLD, "a failed")
    assert held is not None
    assert who_may(held, failed, host("b")) == []
    resumed = decide.moved(held, Cue.RESUME, "")
    assert resumed is not None
    assert who_may(resumed, failed) == ["a"]


def test_who_failed_while_it_was_watched_is_watched_again_after_resume() -> None:
    """Who failed while it was watched is watched again after resume."""
    resumed = replace(rollout(), attempt=2)
    assert who_may(resumed, host("a", NEW, Phase.FAILED)) == ["a"]


def test_a_host_that_comes_late_catches_up() -> None:
    """A host that comes late catches up."""
    done = replace(rollout(), state=State.DONE)
    assert who_may(done, host("late", OLD, turn=(1, 1)), host("b", NEW)) == ["late"]


def test_a_host_whose_app_was_stopped_by_hand_holds_nothing_up() -> None:
    """A host whose app was stopped by hand holds nothing up."""
    hosts = [host("a", NEW, Phase.DONE), host("b", OLD, Phase.STOPPED)]
    found = decide.verdict(rollout(), decide.survey(rollout(), hosts))
    assert found == (Cue.FINISH, "1 of 1 hosts")


@pytest.mark.parametrize(
    ("hosts", "policy", "cue"),
    [
        ([host("a", OLD, Phase.FAILED), host("b")], {}, Cue.HOLD),
        ([host("a", NEW, Phase.FAILED), host("b")], {}, Cue.REVERT),
        ([host("a", NEW, Phase.FAILED)], {"revert": False}, Cue.HOLD),
        ([host("a", OLD, Phase.FAILED), host("b", NEW, Phase.DONE)], {}, Cue.REVERT),
        (
            [host("a", OLD, Phase.FAILED), host("b", OLD, Phase.CHANGING)],
            {},
            Cue.REVERT,
        ),
        (
            [host("a", OLD, Phase.FAILED), host("b", NEW, Phase.DONE)],
            {"max_failures": 1},
            Cue.FINISH,
        ),
        # It serves nowhere, and the link is flipped to what is done.
        ([host("a", OLD, Phase.FAILED)], {"max_failures": 1}, Cue.HOLD),
        ([host("a", NEW, Phase.FAILED)], {"max_failures": 1}, Cue.REVERT),
        ([host("a", NEW, Phase.DONE), host("b", NEW, Phase.WATCHING)], {}, None),
        ([host("a", NEW, Phase.DONE), host("b", NEW, Phase.DONE)], {}, Cue.FINISH),
        ([], {}, None),
    ],
)
def test_the_verdict_on_the_way_forward(
    hosts: list[HostReport], policy: dict[str, object], cue: Cue | None
) -> None:
    """The verdict on the way forward."""
    wanted = rollout(**policy)
    found = decide.verdict(wanted, decide.survey(wanted, hosts))
    assert (found[0] if found else None) is cue


@pytest.mark.parametrize(
    ("hosts", "cue"),
    [
        ([host("a", NEW, Phase.FAILED)], None),  # of the way forward: it has to go back
        ([host("a", OLD, Phase.FAILED)], Cue.FINISH),  # it never left
        ([host("a", OLD, Phase.CHANGING)], None),  # it may still arrive
        ([host("a", OLD, Phase.DONE, (2, 2)), host("b")], Cue.FINISH),
        ([host("a", NEW, Phase.FAILED, (2, 2))], Cue.HOLD),
    ],
)
def test_the_verdict_on_the_way_back(hosts: list[HostReport], cue: Cue | None) -> None:
    """The verdict on the way back."""
    wanted = replace(rollout(), state=State.REVERTING, attempt=2)
    found = decide.verdict(wanted, decide.survey(wanted, hosts))
    assert (found[0] if found else None) is cue


def test_deadlines_hold() -> None:
    """Deadlines hold."""
    seen = decide.survey(rollout(), [host("a")])
    late = decide.verdict(rollout(deadline_s=10.0), seen, age_s=10.0)
    assert late == (Cue.HOLD, "not done in 10 s")
    back = replace(rollout(revert_deadline_s=9.0), state=State.REVERTING)
    seen = decide.survey(back, [host("a", NEW)])
    assert decide.verdict(back, seen, age_s=9.0) == (Cue.HOLD, "not back in 9 s")


def test_slots_never_take_every_host() -> None:
    """Slots never take every host."""
    assert decide.slots(rollout(slots="5"), 3) == 2
    assert decide.slots(rollout(slots="100%"), 8) == 7
    assert decide.slots(rollout(slots="1"), 1) == 1


def test_a_newer_release_goes_back_to_what_was_good() -> None:
    """A newer release goes back to what was good."""
    done = replace(rollout(), state=State.DONE)
    assert decide.superseding(done, "app-3", "") == (3, NEW)
    assert decide.superseding(rollout(), "app-3", "") == (3, OLD)
    assert decide.superseding(None, "app-3", OLD) == (1, OLD)
    assert decide.superseding(rollout(), OLD, "") == (3, "")


def test_without_a_release_of_before_nothing_turns_back() -> None:
    """Without a release of before nothing turns back."""
    first = replace(rollout(), previous="")
    seen = decide.survey(first, [host("a", NEW, Phase.FAILED)])
    found = decide.verdict(first, seen)
    assert found is not None
    assert found[0] is Cue.HOLD
    assert decide.moved(first, Cue.REVERT, "") is None


def test_every_state_that_is_not_the_end_can_be_left() -> None:
    """Every state that is not the end can be left."""
    left = {state for state, _ in TRANSITIONS}
    assert left == set(State)
    assert set(TRANSITIONS.values()) == set(State)


def test_the_reason_has_what_the_first_that_failed_said() -> None:
    """Whoever reads why it is held need not look at each host."""
    failed = replace(host("b", OLD, Phase.FAILED), reason="it never listened")
    seen = decide.survey(rollout(), [host("a"), failed])
    assert decide.verdict(rollout(), seen) == (
        Cue.HOLD,
        "b failed: it never listened",
    )
