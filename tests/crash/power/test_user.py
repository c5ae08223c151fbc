"""Power is lost at any moment of what a user does: what a command said done is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.power import moments
from rig.power.wishes import LONG, SHORT, Step, User


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("steps", "restarts"),
    [
        pytest.param(SHORT, 1, id="short"),
        pytest.param(LONG, 60, id="long", marks=pytest.mark.soak),
    ],
)
def test_what_was_asked_for_outlives_a_loss_of_power(
    tmp_path: Path, steps: tuple[Step, ...], restarts: int
) -> None:
    """The state is the one before or after, and a supervisor starts with it."""
    user = User(tmp_path, steps)
    faults = moments.faults(
        user.recording,
        user.faults,
        user.restart,
        most=restarts,
        is_short=steps is SHORT,
    )
    assert not faults, "\n".join(faults)
