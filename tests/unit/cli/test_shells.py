"""What is made from the parsers has every verb and every option, and is well formed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import gapless
from gapless.base.errors import MisuseError
from gapless.cli.shells import bash, fish, man, zsh
from gapless.cli.shells.words import Value
from gapless.cli.verbs import catalogue
from gapless.cli.verbs.reference import man as man_verb

VERBS = catalogue.verbs()
SCRIPTS = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_has_every_option_of_every_verb(shell: str) -> None:
    """With what each does."""
    text = SCRIPTS[shell](VERBS)
    assert len(VERBS) > 30
    for verb in VERBS:
        assert verb.does.replace("'", "") in text.replace("\\", "").replace("'", "")
        for option in verb.options:
            for spelling in option.spellings:
                assert (spelling if shell != "fish" else spelling.lstrip("-")) in text


def test_a_script_is_one_for_bash() -> None:
    """Which is on every machine."""
    script = bash.script(VERBS)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=60)


def test_every_value_is_known_to_shells() -> None:
    """An app, a file, one of some words: what stands for them is the same everywhere."""
    values = {
        (argument.name, argument.value)
        for verb in VERBS
        for argument in verb.arguments
        if argument.value is not Value.CHOICE
    }
    names = [name for name, _ in values]
    assert sorted(set(names)) == sorted(names)
    assert {("APP", Value.APP), ("FILE", Value.FILE), ("", Value.NONE)} <= values


def test_a_page_says_what_help_says() -> None:
    """Each option with its text, and each verb on the page of all."""
    for verb in VERBS:
        page = man.verb_page(verb, gapless.__version__).replace("\\-", "-")
        for argument in verb.arguments:
            assert man._lines(argument.does).replace("\\-", "-") in page
    overview = man.overview_page(VERBS, gapless.__version__)
    assert all(f".B {verb.name}\n" in overview for verb in VERBS)


def test_a_text_is_no_request_of_a_page() -> None:
    """A dot or a quotation mark at the beginning of a line, and a backslash."""
    assert man._lines(".SH x\n'y\na\\nb-c") == "\\&.SH x\n\\&'y\na\\enb\\-c"


def test_a_page_of_no_verb_is_refused() -> None:
    """By name."""
    with pytest.raises(MisuseError, match="there is no verb 'relod'"):
        man_verb._page("relod")


@pytest.mark.soak
def test_man_has_nothing_to_say_against_any_page(tmp_path: Path) -> None:
    """Every page is formatted without a warning."""
    assert shutil.which("man")
    for name, text in man_verb.pages():
        (tmp_path / name).write_text(text)
        done = subprocess.run(
            ["man", "--warnings=all", "-l", str(tmp_path / name)],
            env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PAGER": "cat"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == "", name
        assert "SEE ALSO" in done.stdout, name
