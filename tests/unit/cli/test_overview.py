"""The words of commands: other words for verbs, and those that are refused."""

from __future__ import annotations

import argparse
import re

import pytest

import gapless.__main__ as command
from gapless.base.errors import MISUSE, MisuseError
from gapless.cli.verbs import ALIASES, PACKAGES, other_words, parsers
from gapless.cli.verbs.fleet import rollout
from gapless.cli.verbs.releases import rollback


def test_other_words_for_verbs_are_in_the_help() -> None:
    """Each beside the verb that it means."""
    text = command.overview()
    assert "ls, l, ps, status = list" in text
    assert all(alias in text for alias in ALIASES)


def test_kill_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere it sends a signal, or restarts one: the hint names what may be meant."""
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


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the hint of a command that is refused."""
    with pytest.raises(SystemExit) as ended:
        command.main([*words])
    assert ended.value.code == MISUSE
    return capsys.readouterr().err.partition("hint: ")[2].strip()


def test_hints_for_words_of_others_name_verbs_that_there_are() -> None:
    """And none of those words is a verb here, once each."""
    words = other_words.verbs()
    assert len({*words}) == len(words)
    assert {*words}.isdisjoint({*PACKAGES, *ALIASES})
    named = re.findall(r"gapless ([a-z]\w*)", " ".join(other_words.hints()))
    assert {*named} <= {*PACKAGES, *ALIASES}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("monit", "`gapless top`"),
        ("deploy", "`gapless publish TARBALL`"),
        ("down", "`gapless stop all`"),
        ("cleardump", "`gapless pm2 cleardump`"),
        ("relaod", "did you mean `gapless reload`?"),
        ("dele", "did you mean `gapless del`?"),
        ("xyzzy", "`gapless` lists them"),
        ("", "`gapless` lists them"),
    ],
)
def test_a_verb_that_there_is_not_leads_to_one(
    word: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what it means elsewhere, else by its spelling if that is close."""
    assert refused(capsys, word).startswith(expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("reload --all", "`all` in the place of APP"),
        ("stop", "`gapless list` has the names"),
        ("stop shop --force", "it waits no longer than"),
        ("list -w", "`gapless top`"),
        ("list -o json", "--json prints JSON"),
        ("logs shop --tail=10", "-n N prints the last N lines"),
        ("scale shop --replicas 3", "gapless scale APP N"),
        ("start a.js --replicas 3", "-i N"),
        ("start a.js --max-memory 9M", "did you mean --max-memory-restart?"),
        ("start sleep 50", "words for the program come after --"),
        ("start a.js --xyzzy", "`gapless start --help` lists its options"),
        ("start a.js --file x", "a file has no option: gapless start FILE"),
        ("rollout restart shop", "`gapless restart APP`"),
        ("signal HUP", "`gapless list` has the names; `all`"),
        ("describe", "`gapless list` has the names\n"),
        ("logs --no-color", "`gapless logs --help`"),
        ("list --no-color", "--plain prints no colours"),
        ("rollout status -w", "did you mean --watch?"),
        ("list -n x", "`gapless list --help`"),
        ("stop -n x", "a namespace stands in the place of APP"),
        ("drain --config F", "`gapless drain --help`"),
        ("publish --file F a.tgz", "did you mean --config?"),
        ("top -o x", "`gapless top --help`"),
        ("start a.js --node-args -x", "a value that begins with - is joined by ="),
        ("logs shop -n abc", ""),
    ],
)
def test_an_option_that_there_is_not_leads_to_one(
    words: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what it means elsewhere, else by its spelling."""
    hint = refused(capsys, *words.split())
    assert f"{hint}\n".startswith(expected) if expected else not hint


WORDS = {"APP": "shop", "N": "2", "FILE": "gapless.toml", "TARBALL": "a.tar.gz"}
WORDS |= {"PROGRAM": "a.js", "NAME": "shop", "{word}": "trigger"}
VERBS = {
    verb: parser
    for verb in PACKAGES
    if (parser := parsers.parser(verb, parsers.module(verb))) is not None
}


def check(hint: str, verb: str = "") -> None:
    """Fail if a hint names what cannot be typed: a command, or an option of its verb."""
    commands = re.findall(r"`?gapless ([^`;,:\n]+)", hint)
    for command_line in commands:
        named, *words = command_line.partition(" -- ")[0].split()
        if not words or named == "pm2":  # a verb is named, and there is one
            assert named in {*PACKAGES, *ALIASES}, hint
        elif words != ["--help"]:
            VERBS[named].parse_args([WORDS.get(each, each) for each in words])
    rest = re.sub(r"`[^`]*`|: gapless .*|^gapless .*", "", hint)
    if verb:
        takes = VERBS[verb].takes()  # type: ignore[attr-defined]  # a Parser
        assert {*re.findall(r"(?<!\S)--?[A-Za-z][\w-]*", rest)} <= {*takes.options}, (
            hint
        )
        assert takes.several_apps or not re.search("`all`|place of APP", hint), hint


@pytest.mark.parametrize("verb", VERBS)
def test_each_hint_of_a_verb_can_be_typed(verb: str) -> None:
    """Whatever option of others was, and where no app is named."""
    takes = VERBS[verb].takes()  # type: ignore[attr-defined]  # a Parser
    for option in {*other_words.options()} - {*takes.options}:
        check(other_words.of_arguments(verb, [option], takes, ""), verb)
    missing = "the following arguments are required: APP"
    check(other_words.of_arguments(verb, [], takes, missing), verb)


def test_each_hint_in_place_of_a_verb_can_be_typed() -> None:
    """Those of other programs."""
    for word in other_words.verbs():
        check(other_words.of_verb(word))
    takes = VERBS["rollout"].takes()  # type: ignore[attr-defined]  # a Parser
    for word in ("restart", "start", "stop", "cancel", "continue"):
        check(other_words.of_arguments("rollout", [word], takes, ""))


def test_help_of_a_verb_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """`gapless help start` as `gapless start --help`."""
    with pytest.raises(SystemExit):
        command.main(["help", "scale"])
    assert capsys.readouterr().out.startswith("usage: gapless scale")
