"""What a host says of itself, while another one may say it in its name."""

from __future__ import annotations

import pytest

from gapless.agent.reporter import Reporter
from gapless.base.errors import ConflictError
from gapless.coordinator.memory import MemoryCoordinator
from gapless.rollout.board import Board
from gapless.rollout.model import Phase, Rollout

ROLLOUT = Rollout(app="app", number=1, release="app-2")


def _ignore(_: str) -> None:
    """Say nothing."""


def test_of_two_agents_that_call_themselves_alike_none_falls_over() -> None:
    """In the middle of a turn each word is refused, until it is read what is there."""
    coordinator = MemoryCoordinator()
    one, other = (
        Reporter(
            Board(coordinator, "app", now=lambda: 0.0, complain=pytest.fail),
            "a",
            _ignore,
        )
        for _ in "ab"
    )
    one.recall()
    one.tell(ROLLOUT, Phase.CHANGING)
    other.recall()
    other.tell(ROLLOUT, Phase.CHANGING)
    for _ in range(2):
        with pytest.raises(ConflictError, match="another agent calls itself a"):
            one.beat(0.0)
    with pytest.raises(ConflictError, match="another agent calls itself a"):
        one.note(ROLLOUT, Phase.WATCHING)
    with pytest.raises(ConflictError, match="another agent calls itself a"):
        one.is_written()
    one.recall()
    assert one.is_written()
