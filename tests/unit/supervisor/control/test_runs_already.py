"""The start of an app that runs is refused, and the hint works when it is typed."""

from __future__ import annotations

import pytest

from gapless.supervisor.control.requests import runs_already
from gapless.supervisor.memory.spec import AppSpec


def spec(file: str) -> AppSpec:
    """Return an app that a file declares."""
    return AppSpec(
        name="web",
        command=("/bin/true",),
        directory="/",
        environment={},
        config_file=file,
    )


@pytest.mark.parametrize(
    ("running", "wanted", "expected"),
    [
        ("/a.toml", "/a.toml", "`gapless reload web` gives it its new configuration"),
        ("/a.js", "/a.toml", "it was started by /a.js; `gapless reload /a.toml` hands"),
        ("", "/a.toml", "it was started by a command; `gapless reload /a.toml` hands"),
        ("/a.toml", "", "it was started by /a.toml, which `gapless reload web` reads"),
    ],
)
def test_the_hint_names_the_file_that_is_read(
    running: str, wanted: str, expected: str
) -> None:
    """A reload by name reads the file by which the app was started, not the new one."""
    error = runs_already(spec(running), spec(wanted))
    assert error.message == "web runs already"
    assert error.hint.startswith(expected)
