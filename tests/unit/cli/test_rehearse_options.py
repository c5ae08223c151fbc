"""What `gapless rehearse` refuses before it does anything."""

from __future__ import annotations

import argparse

import pytest

from gapless.base.errors import MisuseError
from gapless.cli.verbs.releases import rehearse
from gapless.rehearsal.model import Settings


def settings(*words: str) -> Settings:
    """Return what the options mean."""
    parser = argparse.ArgumentParser()
    rehearse.add_arguments(parser)
    return rehearse._settings(parser.parse_args(["example", *words]))


@pytest.mark.parametrize(
    "words",
    [
        ("--path", "health"),
        ("--path", "/a b"),
        ("--path", "/a\r\nX: y"),
        ("--post", "x"),
        ("--rate", "0"),
        ("--rate", "nan"),
        ("--rate", "1e9"),
        ("--duration", "0"),
        ("--duration", "inf"),
        ("--port", "-1"),
        ("--port", "65536"),
        ("--set", "NAME"),
        ("--set", "A-B=1"),
        ("--writable", "relative"),
        ("--writable", "/there/is/no/such/directory"),
        ("--header", "Host"),
        ("--header", "Content-Length: 3"),
        ("--header", "A: b\r\nC: d"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    """Nothing that a user types reaches a request or an environment as it is."""
    with pytest.raises(MisuseError):
        settings(*words)


def test_options_become_settings() -> None:
    """Each in its own unit."""
    found = settings(
        *(
            "--path",
            "/a",
            "--post",
            "-",
            "--set",
            "A=b=c",
            "--header",
            "Host: a.example",
        ),
        *("--rate", "50", "--duration", "1"),
    )
    assert (found.paths, found.post) == (("/a",), "")
    assert found.variables == {"A": "b=c"}
    assert found.headers == (("Host", "a.example"),)
    assert (found.rate, found.duration_s) == (50.0, 1.0)
