"""Work for several apps at the same time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gapless.cli import sequence


def test_what_the_work_for_one_app_raises_is_raised(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Else the command ends with the traceback of a thread; the others are waited for."""
    done = []

    def run_one(name: str, begun: Callable[[], None]) -> None:
        begun()
        if name == "web":
            raise OSError(30, "Read-only file system")
        done.append(name)

    with pytest.raises(OSError, match="Read-only"):
        sequence.run(["web", "jobs"], {}, run_one)
    assert done == ["jobs"]
    assert not capsys.readouterr().err
