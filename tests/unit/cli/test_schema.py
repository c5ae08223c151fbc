"""Each verb that has --json has a JSON Schema, and each part of it says what it is."""

from __future__ import annotations

import argparse
import json

import pytest

from gapless.base.errors import MisuseError
from gapless.cli.verbs import catalogue
from gapless.cli.verbs.reference import schema
from gapless.config.reference.printed import verbs
from rig import printed
from rig.json_schema import Schema

WITH_JSON = {
    verb.name
    for verb in catalogue.verbs()
    if any("--json" in each.spellings for each in verb.options)
}


def test_every_verb_with_json_has_a_schema() -> None:
    """A verb that is added tomorrow, too; jlist prints nothing else."""
    assert set(verbs.PRINTED) == WITH_JSON | {"jlist"}


@pytest.mark.parametrize("verb", sorted(verbs.PRINTED))
def test_a_schema_is_whole(verb: str) -> None:
    """Each table has a description, each reference leads somewhere."""
    found = verbs.of_verb(verb)
    assert all(each["description"].endswith(".") for each in found["$defs"].values())
    Schema(found).mistakes({"error": {}})
    text = json.dumps(found)
    names = {each.partition('"')[0] for each in text.split('"#/$defs/')[1:]}
    assert names == set(found["$defs"])


def test_an_error_is_a_result_of_every_verb() -> None:
    """And something else is not."""
    error = {"kind": "misuse", "message": "no", "hint": "", "exit_code": 2}
    assert printed.mistakes("list", {"error": error}, is_closed=True) == []
    assert printed.mistakes("ls", {"error": error | {"more": 1}}) == []
    assert printed.mistakes("ls", {"error": error | {"more": 1}}, is_closed=True)
    assert printed.mistakes("list", {"apps": 3})


def test_a_verb_without_a_schema_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """By name, with those that have one."""
    with pytest.raises(MisuseError, match="no schema of 'man'"):
        schema.run(argparse.Namespace(what="man"))
    assert schema.run(argparse.Namespace(what="ls")) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "gapless list --json"
