"""What a destination means: the form of scp, a URL, or a directory."""

from __future__ import annotations

import pytest

from gapless.base.errors import MisuseError
from gapless.push.destination import Destination, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "deploy@release:/mnt/dfs",
            Destination(path="/mnt/dfs", host="deploy@release"),
        ),
        ("release:/mnt/dfs/", Destination(path="/mnt/dfs", host="release")),
        ("release:dfs", Destination(path="dfs", host="release")),
        ("release:~/dfs", Destination(path="dfs", host="release")),
        ("u@[::1]:/mnt", Destination(path="/mnt", host="u@::1")),
        (
            "ssh://u@release:2222/mnt",
            Destination(path="/mnt", host="u@release", port=2222),
        ),
        ("ssh://[::1]:22/mnt", Destination(path="/mnt", host="::1", port=22)),
        ("ssh://release/", Destination(path="/", host="release")),
        ("/mnt/dfs", Destination(path="/mnt/dfs")),
        ("/mnt/a:b", Destination(path="/mnt/a:b")),
        ("./a:b", Destination(path="./a:b")),
        ("dfs/", Destination(path="dfs")),
    ],
)
def test_what_has_a_colon_before_its_first_slash_is_reached_by_ssh(
    text: str, expected: Destination
) -> None:
    """Any other text is a directory."""
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
    """Above all a text that ssh would read as an option."""
    with pytest.raises(MisuseError):
        parse(text)


@pytest.mark.parametrize(
    "text", ["u@release:/mnt", "ssh://u@release:2222/mnt", "/mnt/dfs"]
)
def test_it_is_shown_as_it_was_written(text: str) -> None:
    """Users recognize what they wrote."""
    assert str(parse(text)) == text
