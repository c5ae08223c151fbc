"""Power is lost at any moment of a publish or a rollback, and another publisher comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.power import moments
from rig.power.releases import LONG, SHORT, Publisher, Step


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("steps", "publishers"),
    [
        pytest.param(SHORT, 0, id="short"),
        pytest.param(LONG, 60, id="long", marks=pytest.mark.soak),
    ],
)
def test_no_release_is_half_and_none_comes_back(
    tmp_path: Path, steps: tuple[Step, ...], publishers: int
) -> None:
    """The link is the one before or after; what was done is not done once more."""
    publisher = Publisher(tmp_path, steps)
    faults = moments.faults(
        publisher.recording,
        publisher.faults,
        publisher.go_on,
        most=publishers,
        is_short=steps is SHORT,
    )
    assert not faults, "\n".join(faults)
