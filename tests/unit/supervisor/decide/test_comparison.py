"""When files are compared, and how long a conflict has to last."""

from __future__ import annotations

from dataclasses import replace

from gapless.supervisor.decide.actions import CompareFiles
from gapless.supervisor.decide.files import comparison
from gapless.supervisor.memory.model import FilesSeen, Generation, Role

TRIAL = Generation(number=2, role=Role.TRIAL, since=100.0, seats=())
LOOK, READY_LOOK = CompareFiles(2), CompareFiles(2, ready=True)


def seen(
    before: FilesSeen,
    now: float,
    *,
    conflict: str = "",
    rivals: bool = True,
    cpu_ticks: int | None = 7,
    ready: bool = True,
) -> FilesSeen:
    """Return what is known after a look."""
    return comparison.noted(
        before, conflict, now, rivals=rivals, cpu_ticks=cpu_ticks, ready=ready
    )


def next_step(files: FilesSeen, now: float) -> object:
    """Return what comes before the switch."""
    return comparison.before_switch(replace(TRIAL, files=files), now)


def test_nothing_switches_without_a_look() -> None:
    """The one while it started does not count: it may have opened a file since."""
    starting = seen(FilesSeen(), 100.9, ready=False)
    assert next_step(FilesSeen(), 101.0) == next_step(starting, 101.0) == READY_LOOK


def test_one_look_is_enough_where_nobody_holds_state() -> None:
    """Most apps: their switch is not later for it."""
    assert next_step(seen(FilesSeen(), 101.0, rivals=False), 101.0) is None


def test_an_old_look_is_taken_again() -> None:
    """A permit may have taken seconds."""
    files = seen(FilesSeen(), 101.0, rivals=False)
    assert next_step(files, 101.0 + comparison.FRESH_S + 0.1) == READY_LOOK


def test_where_state_is_held_the_new_one_has_to_come_to_rest() -> None:
    """It is looked at again until it has computed next to nothing for a while."""
    files = seen(FilesSeen(), 101.0, cpu_ticks=10)
    assert next_step(files, 101.0) == 101.1
    files = seen(files, 101.1, cpu_ticks=40)
    assert next_step(files, 101.2) == READY_LOOK
    files = seen(files, 101.2, cpu_ticks=None)
    for now in (101.3, 101.4):
        files = seen(files, now, cpu_ticks=41)
        assert next_step(files, now) == now + comparison.QUIET_PAUSE_S
    assert next_step(seen(files, 101.6, cpu_ticks=41), 101.6) is None


def test_what_never_rests_is_not_waited_for_for_ever() -> None:
    """Some programs compute all the time."""
    files = seen(FilesSeen(), 101.0, cpu_ticks=1)
    late = 101.0 + comparison.MOST_QUIET_S
    assert next_step(seen(files, late, cpu_ticks=900), late) is None


def test_a_conflict_has_to_be_there_twice() -> None:
    """Both may have a file open for a moment."""
    first = seen(FilesSeen(), 101.0, conflict="both")
    assert next_step(first, 101.0) == 101.2
    assert next_step(first, 101.2) == READY_LOOK
    assert next_step(seen(first, 101.2, conflict="both"), 101.2) == "both"
    gone = seen(first, 101.2)
    assert gone.conflict_since is None
    other = seen(first, 101.2, conflict="another")
    assert next_step(other, 101.2) == 101.4


def test_a_conflict_that_lasts_ends_a_start() -> None:
    """So that a lock for which it waits is named before the time is up."""
    assert comparison.while_starting(TRIAL, 100.5) == 101.0
    assert comparison.while_starting(TRIAL, 101.0) == LOOK
    files = FilesSeen()
    for now in (101.0, 102.0):
        files = seen(files, now, conflict="a lock", ready=False)
        step = comparison.while_starting(replace(TRIAL, files=files), now)
        assert step == now + comparison.PAUSE_S
    files = seen(files, 103.0, conflict="a lock", ready=False)
    assert comparison.while_starting(replace(TRIAL, files=files), 103.0) == "a lock"


def test_a_trial_is_looked_at_once_more_before_it_is_ended() -> None:
    """A stop signal lets some programs write."""
    retiring = replace(TRIAL, role=Role.RETIRING)
    before = replace(retiring, files=FilesSeen(seen_at=99.0))
    assert comparison.before_end(retiring) == comparison.before_end(before) == LOOK
    after = replace(retiring, files=FilesSeen(seen_at=100.0))
    assert comparison.before_end(after) is None
