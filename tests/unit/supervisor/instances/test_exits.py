"""How an end is told."""

from __future__ import annotations

import pytest

from gapless.supervisor.instances.exits import describe_status


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "exited with code 0"),
        (7 << 8, "exited with code 7"),
        (None, "ended unseen"),
    ],
)
def test_how_a_process_ended(status: int | None, said: str) -> None:
    """A keeper that never was its parent does not know; it says so."""
    assert describe_status(status) == said
