"""The words of `gapless signal`."""

from __future__ import annotations

import argparse

import pytest

from gapless.base.errors import MisuseError
from gapless.cli.verbs.inspect import signal


@pytest.mark.parametrize(
    ("word", "expected"), [("hup", "HUP"), ("SIGUSR2", "USR2"), ("9", "KILL")]
)
def test_a_signal_has_a_name_or_a_number(word: str, expected: str) -> None:
    """With or without SIG, as kill(1) takes it."""
    assert signal._name(word) == expected


def test_the_signal_is_looked_at_before_the_apps() -> None:
    """In the other order the message was that there is no app named HUP."""
    parser = argparse.ArgumentParser()
    signal.add_arguments(parser)
    with pytest.raises(MisuseError, match="there is no signal 'shop'") as error:
        signal.run(parser.parse_args(["shop", "HUP"]))
    assert error.value.hint == "gapless signal HUP APP"
