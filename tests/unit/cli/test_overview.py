"""The words of commands: other words for verbs, and those that are refused."""

from __future__ import annotations

import argparse

import pytest

import gapless.__main__ as command
from gapless.base.errors import MISUSE, MisuseError
from gapless.cli.verbs import ALIASES, PACKAGES, REFUSED
from gapless.cli.verbs.fleet import rollout
from gapless.cli.verbs.releases import rollback


def test_other_words_for_verbs_are_in_the_help() -> None:
    """Each beside the verb that it means."""
    text = command.overview()
    assert "ls, l, ps, status = list" in text
    assert all(alias in text for alias in ALIASES)


def test_kill_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere it sends a signal, or restarts one: the hint names what may be meant."""
    assert REFUSED.keys().isdisjoint({*PACKAGES, *ALIASES})
    with pytest.raises(SystemExit) as ended:
        command.main(["kill"])
    assert ended.value.code == MISUSE
    assert "hint: `gapless shutdown` stops every app" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "meant"), [("pause", "hold"), ("undo", "abort")])
def test_words_of_others_for_a_rollout_are_understood(word: str, meant: str) -> None:
    """Those of kubectl rollout."""
    parser = argparse.ArgumentParser()
    rollout.add_arguments(parser)
    assert parser.parse_args([word, "shop"]).what == meant


def test_a_rollback_names_one_release() -> None:
    """By its place or by --to; two different ones are refused before anything is read."""
    parser = argparse.ArgumentParser()
    rollback.add_arguments(parser)
    with pytest.raises(MisuseError, match="which release"):
        rollback.run(parser.parse_args(["shop", "shop-1", "--to", "shop-2"]))
