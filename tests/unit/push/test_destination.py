"""What a destination means: as scp reads it, or as a URL."""

from __future__ import annotations

import pytest

from gapless.base.errors import MisuseError
from gapless.push.destination import Destination, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deploy@release:/mnt/dfs", Destination("/mnt/dfs", "deploy@release")),
        ("release:/mnt/dfs/", Destination("/mnt/dfs", "release")),
        ("release:dfs", Destination("dfs", "release")),
        ("release:~/dfs", Destination("dfs", "release")),
        ("u@[::1]:/mnt", Destination("/mnt", "u@::1")),
        ("ssh://u@release:2222/mnt", Destination("/mnt", "u@release", 2222)),
        ("ssh://[::1]:22/mnt", Destination("/mnt", "::1", 22)),
        ("ssh://release/", Destination("/", "release")),
        ("/mnt/dfs", Destination("/mnt/dfs")),
        ("/mnt/a:b", Destination("/mnt/a:b")),
        ("./a:b", Destination("./a:b")),
        ("dfs/", Destination("dfs")),
    ],
)
def test_what_has_a_colon_before_its_first_slash_is_reached_by_ssh(
    text: str, expected: Destination
) -> None:
    """Everything else is a directory."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host:",
        ":/mnt",
        "ssh://host",
        "ssh://host:99999/mnt",
        "-oProxyCommand=evil:/mnt",
        "u@-oProxyCommand=evil:/mnt",
        "ssh://-oProxyCommand=evil/mnt",
        "host:~other/dfs",
    ],
)
def test_what_is_no_destination_is_refused(text: str) -> None:
    """Above all what ssh would take for an option."""
    with pytest.raises(MisuseError):
        parse(text)


@pytest.mark.parametrize(
    "text", ["u@release:/mnt", "ssh://u@release:2222/mnt", "/mnt/dfs"]
)
def test_it_is_shown_as_it_was_written(text: str) -> None:
    """So that people know it again."""
    assert str(parse(text)) == text
