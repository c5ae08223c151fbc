"""The order in which tests begin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rig.fixtures.long_tests import spread

LONG, SHORT = "process/test_fleet", ("test_a", "test_b", "test_c")


def module_of(item: tuple[str, int]) -> str:
    """Return where a test is."""
    return item[0]


@given(
    modules=st.lists(st.sampled_from((LONG, *SHORT)), max_size=60),
    processes=st.integers(1, 9),
)
def test_each_test_runs_once(modules: list[str], processes: int) -> None:
    """Whatever there is of each kind."""
    items = list(enumerate(modules))
    found = spread(items, lambda each: each[1], processes)
    assert sorted(found) == items


def test_long_ones_begin_in_the_first_part_of_each_process() -> None:
    """The last tests of each process are short ones, of which another may take some."""
    items = [(f"test_{i // 5}", i) for i in range(400)]
    items += [(LONG, i) for i in range(16)]
    found = spread(items, module_of, 4)
    for first in range(0, 416, 104):
        own = [module_of(each) == LONG for each in found[first : first + 104]]
        assert own.count(True) == 4
        assert True not in own[70:]
