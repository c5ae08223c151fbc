"""Which processes are an instance's where it has no control group: a table, and no more."""

from __future__ import annotations

from gapless.supervisor.kernel.processes import Process, Table


def _table(*rows: tuple[int, int, int]) -> Table:
    """Return a table of (pid, parent, session)."""
    return Table(
        {
            pid: Process(
                pid=pid,
                name="p",
                state="S",
                parent=parent,
                session=session,
                start_ticks=pid * 10,
                cpu_ticks=0,
                rss_bytes=0,
            )
            for pid, parent, session in rows
        }
    )


def test_a_tree_is_the_leader_its_session_and_all_that_came_from_these() -> None:
    """Also what left the session, and the children of what lost its parent."""
    table = _table(
        (5, 1, 5),
        (10, 5, 10),
        (11, 10, 10),
        (12, 11, 12),
        (20, 5, 10),
        (21, 20, 21),
        (30, 5, 30),
    )
    assert table.tree({10}, session=10) == {10, 11, 12, 20, 21}
    assert table.tree({0}, session=0) == set()
    assert table.tree({12, 99}, session=0) == {12}


def test_a_number_with_another_start_is_another_process() -> None:
    """A pid alone names nobody."""
    table = _table((10, 1, 10))
    assert table.is_it(10, 100)
    assert not table.is_it(10, 99)
    assert not table.is_it(11, 110)
