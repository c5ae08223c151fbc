"""A supervisor that crashes again and again begins later and later."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless.supervisor import lives
from gapless.supervisor.lives import Life


def crashes(count: int, *, after_s: float = 0.5) -> tuple[Life, float]:
    """Return the last of so many lives that began as soon as they might, and its end."""
    now, life = 100.0, None
    for number in range(count):
        now += lives.wait_s(life, now)
        life = lives.following(life, pid=number, now=now)
        now += after_s
        life = Life(
            pid=number, began=life.began, short_before=life.short_before, ended=now
        )
    assert life is not None
    return life, now


def test_some_are_tried_at_once_and_then_later_and_later() -> None:
    """The pauses double up to a minute."""
    waits = [lives.wait_s(*crashes(count)) for count in range(1, 14)]
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_life_that_was_long_begins_anew() -> None:
    """Whatever ended it: one that crashes once an hour is started at once."""
    assert lives.wait_s(*crashes(20, after_s=lives.SHORT_S)) == 0


def test_who_comes_late_is_the_first_again() -> None:
    """A crash of last week is none of today."""
    life, now = crashes(9)
    later = now + life.pause_s + lives.SHORT_S
    assert lives.following(life, pid=1, now=later).short_before == 0


def test_one_that_was_killed_counts_only_if_that_was_at_once() -> None:
    """Nobody wrote down when."""
    life = Life(pid=1, began=100.0, short_before=7)
    assert lives.wait_s(life, 101.0) == 7.0
    assert lives.wait_s(life, 108.0) == 0.0
    assert lives.following(life, pid=2, now=109.0).short_before == 8
    assert lives.following(life, pid=2, now=110.0).short_before == 0


def test_a_life_of_another_boot_counts_not() -> None:
    """The clock begins with each boot."""
    life, _ = crashes(9)
    assert lives.wait_s(life, 5.0) == 0


@pytest.mark.parametrize(
    "content",
    [
        *("", "null", "[1]", '{"pid": "x", "began": 1}', "[" * 5000, '{"pid": 1}'),
        '{"pid": 1, "began": 1, "short_before": ' + "9" * 30 + "}",
        '{"pid": 1, "began": NaN, "short_before": 9}',
    ],
)
def test_a_lock_with_anything_in_it_keeps_nobody_out(
    tmp_path: Path, content: str
) -> None:
    """What cannot be read is no life."""
    path = tmp_path / "lock"
    path.write_text(content)
    with path.open("r+") as file:
        assert lives.wait_s(lives.read(file.fileno()), 2.0) <= lives.LONGEST_PAUSE_S
        lives.write(file.fileno(), Life(pid=7, began=3.0))
        lives.fail(file.fileno(), "x" * 9000, pid=8, now=4.0)
        assert lives.read(file.fileno()) == Life(pid=7, began=3.0)
        lives.fail(file.fileno(), "x" * 9000, pid=7, now=4.0)
        found = lives.read(file.fileno())
        assert found is not None
        assert (found.ended, set(found.reason)) == (4.0, {"x"})
        lives.end(file.fileno())
        assert lives.read(file.fileno()) is None
