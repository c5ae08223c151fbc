"""What a supervisor that takes over makes of a generation."""

from __future__ import annotations

import pytest

from gapless.supervisor.memory.generations import WATCHED_S, GenerationRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.memory.spec import AppSpec

NOW = 1000.0


@pytest.mark.parametrize(
    ("min_healthy_s", "since", "left_s"),
    [
        (1.0, NOW - 500, 1.0),
        (60.0, NOW - 500, WATCHED_S),
        (60.0, NOW - 20, 40.0),
        (0.0, NOW - 500, 0.0),
    ],
)
def test_a_generation_is_not_proven_by_time_in_which_nobody_watched(
    min_healthy_s: float, since: float, left_s: float
) -> None:
    """It is watched for a while, and for no longer than it needs anyway."""
    spec = AppSpec(name="a", command=("a",), directory="/", min_healthy_s=min_healthy_s)
    generation = GenerationRecord(1, spec, since, role=Role.PROVING)
    generation.doubt(NOW)
    assert generation.since + min_healthy_s - NOW == left_s


def test_one_that_was_proven_stays_it() -> None:
    """Since when it serves is what `list` shows."""
    spec = AppSpec(name="a", command=("a",), directory="/")
    generation = GenerationRecord(1, spec, 5.0, role=Role.SERVING)
    generation.doubt(NOW)
    assert generation.since == 5.0
