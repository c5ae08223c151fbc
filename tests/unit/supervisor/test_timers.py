"""Names and when they are due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gapless.supervisor.timers import Timers

NAMES = st.sampled_from("abcdef")
TIMES = st.one_of(st.none(), st.floats(0, 100))


def test_the_first_one_is_due_first() -> None:
    """A time that was set anew, or taken back, is not due."""
    timers = Timers()
    timers.set("late", 5.0)
    timers.set("soon", 1.0)
    timers.set("never", 2.0)
    timers.set("never", None)
    timers.set_earlier("late", 3.0)
    timers.set_earlier("late", 4.0)
    assert timers.next() == 1.0
    assert timers.take_due(3.0) == ["soon", "late"]
    assert timers.next() is None
    assert timers.take_due(9.0) == []


@given(st.lists(st.tuples(NAMES, TIMES)), st.floats(0, 100))
def test_they_are_a_table_of_times(
    sets: list[tuple[str, float | None]], now: float
) -> None:
    """However often they are set, they answer as a plain table would."""
    timers, table = Timers(), dict[str, float]()
    for name, at in sets * 40:
        timers.set(name, at)
        table.pop(name, None)
        if at is not None:
            table[name] = at
    assert timers.next() == min(table.values(), default=None)
    due = timers.take_due(now)
    assert sorted(due) == sorted(name for name, at in table.items() if at <= now)
    assert timers.next() == min((at for at in table.values() if at > now), default=None)
