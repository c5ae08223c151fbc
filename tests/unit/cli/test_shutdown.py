"""What a unit is being done to, by the words of `systemctl list-jobs`."""

from __future__ import annotations

import pytest

from gapless.cli.verbs.machine.shutdown import is_stopped


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ("46 gapless-a.service stop running\n", True),
        ("45 other.service stop waiting\n46 gapless-a.service stop running\n", True),
        ("31 gapless-a.service restart running\n", False),
        ("46 gapless-b.service stop running\n", False),
        ("46 gapless-a.service start waiting\n", False),
        ("No jobs running.\n", False),
        ("", False),
    ],
)
def test_only_a_stop_ends_the_apps(jobs: str, expected: bool) -> None:
    """A restart, a crash and an answer that says nothing leave them running."""
    assert is_stopped("gapless-a.service", jobs) is expected
