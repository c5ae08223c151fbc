"""Errors of the kernel, as a command prints them."""

from __future__ import annotations

import pytest

from gapless.__main__ import _run_and_report


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            OSError(28, "No space left on device"),
            "list failed: no space left on device",
        ),
        (OSError(2, "Gone", "/srv/a"), "list failed on /srv/a: gone"),
        (OSError("Odd"), "list failed: odd"),
    ],
)
def test_an_error_without_a_file_has_no_empty_place_for_one(
    error: OSError, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verb, the file if there is one, the reason."""

    def run() -> int:
        raise error

    assert _run_and_report("list", run, as_json=False) == 1
    assert capsys.readouterr().err == f"gapless: {expected}\n"
