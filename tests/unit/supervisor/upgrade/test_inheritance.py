"""What one version hands to another, in both directions."""

from __future__ import annotations

import json
import os

import pytest

from gapless.base.errors import GaplessError, UnavailableError
from gapless.supervisor.upgrade import inheritance
from gapless.supervisor.upgrade.inheritance import Inheritance, Running
from gapless.supervisor.upgrade.replacement import check_command, read_answer


def test_it_is_read_as_it_was_written() -> None:
    """Every field comes through."""
    before = Running(version="1", pid=7, package="/opt/x")
    given = Inheritance(line=0, lock=1, token="t", before=before, listener_at=(3, 4))
    assert inheritance.read(given.argument()) == given


def test_a_later_version_may_hand_over_more() -> None:
    """What is not known is left alone, and what is missing has its default."""
    found = inheritance.read(json.dumps({"token": "t", "later": {"x": [1]}}))
    assert found == Inheritance(token="t")


@pytest.mark.parametrize(
    "argument",
    [
        "{",
        "[]",
        '{"lock": "many"}',
        '{"lock": 1000000}',
        '{"before": {"pid": []}}',
        '{"token": "' + "x" * 70_000 + '"}',
        '{"token": "\\u0000"}',
    ],
)
def test_what_cannot_be_read_is_refused(argument: str) -> None:
    """A descriptor is one only if it is open."""
    with pytest.raises(UnavailableError, match="could not read what the running"):
        inheritance.read(argument)


def test_only_what_is_open_is_handed_on() -> None:
    """What was not given is -1."""
    assert Inheritance().kept() == set()
    assert Inheritance(line=5, lock=6).kept() == {5, 6}


def test_the_last_line_of_a_trial_is_its_answer() -> None:
    """What libraries print before is no matter."""
    answer = {"version": "2", "files": "f"}
    assert read_answer(b"a warning\n" + json.dumps(answer).encode() + b"\n") == answer


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (b"", "printed nothing"),
        (b"Traceback\nSyntaxError: no\n", "SyntaxError: no"),
        (b'{"version": 1}', "does not start"),
        (b"\xff\xfe", "does not start"),
        (b'{"error": {"kind": "unavailable", "message": "shop: no"}}', "shop: no"),
    ],
)
def test_a_trial_without_an_answer_is_a_failure(output: bytes, said: str) -> None:
    """Its last words are the reason."""
    with pytest.raises(GaplessError, match=said):
        read_answer(output)


def test_a_trial_that_was_ended_has_no_answer() -> None:
    """What it said before does not count."""
    with pytest.raises(UnavailableError, match="too late"):
        read_answer(b'{"version": "2", "files": "f"}', "too late")


def test_a_command_is_an_absolute_path() -> None:
    """Nothing is looked for in PATH."""
    assert check_command([os.sep + "x", "-I"]) == ["/x", "-I"]
    for wrong in ([], ["x"], ["./x"]):
        with pytest.raises(UnavailableError, match="absolute"):
            check_command(wrong)
