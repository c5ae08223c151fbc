"""Which tables a version can go on with: those of before, and what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gapless.keeper.trial import why_not

SAMPLE = Path(__file__).parents[3] / "samples" / "keeper-table-1.json"


def table(**changed: str) -> bytes:
    """Return the sample, with other values by some names."""
    found = json.loads(SAMPLE.read_text())
    return json.dumps(found | changed).encode()


def test_a_table_of_the_first_version_is_read() -> None:
    """A keeper of this version can go on with it."""
    assert why_not(table()) == ""


def test_names_and_fields_of_a_later_version_are_left_alone() -> None:
    """What it means may be lost; what is known goes on."""
    child = (
        '{"meta": null, "started": 1.0, "pipes": [], "runs": true, "colour": "blue"}'
    )
    assert why_not(table(**{"tea/app": "7", "child/app/1/0/1": child})) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keeper", '{"layout": 2}'),
        ("keeper", "[]"),
        ("child/app/1/0/1", "{}"),
        ("child/app/1/0/1", "nonsense"),
        ("stream/app/1/0/1/output", '{"stream": "tea", "place": 1, "log": {}}'),
        ("file//var/log/app.log", "{}"),
        ("call/app/1/0/1/1", '{"id": "one"}'),
        ("ended/app/1/0/3", "{"),
    ],
)
def test_what_cannot_be_gone_on_with_is_named(name: str, value: str) -> None:
    """By the name that it is kept by."""
    assert why_not(table(**{name: value})).startswith(f"{name}: ")
