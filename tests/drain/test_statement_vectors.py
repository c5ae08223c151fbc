"""Both libraries agree on what a stored procedure is: spec/vectors/statements.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gapless_drain import Drain
from gapless_drain.databases.counting import Counting

VECTORS = Path(__file__).parents[2] / "spec" / "vectors" / "statements.json"
ALL = json.loads(VECTORS.read_text())

NOT_HERE = {"prepared anew is forgotten"}
"""Python keeps what was prepared on any connection: better one too many."""


def runs(kind: str) -> Iterator[Any]:
    """Return each case in each of its dialects; ?? is a placeholder of mysql2 alone."""
    for case in ALL[kind]:
        for dialect in case["dialects"]:
            name = case.get("name", case["sql"])
            if "??" not in case["sql"] and name not in NOT_HERE:
                yield pytest.param(case, dialect, id=f"{dialect}: {name}")


def names(counting: Counting, text: str) -> list[str]:
    """Return under what names a text counts."""
    calling = counting.calling(text)
    return [] if calling is None else calling.names


@pytest.mark.parametrize(("case", "dialect"), list(runs("cases")))
def test_a_statement_is_what_the_vectors_say(
    case: dict[str, Any], dialect: Any
) -> None:
    """With what ran before it on the same connection."""
    drain = Drain(on_signal=None, environ={})
    counting = Counting(drain, dialect, case.get("functions", ()))
    for before in case.get("before", ()):
        names(counting, before)
    assert names(counting, case["sql"]) == case["procedures"]


@pytest.mark.parametrize(("case", "dialect"), list(runs("every_statement")))
def test_every_statement_is_what_the_vectors_say(
    case: dict[str, Any], dialect: Any
) -> None:
    """Outside a request, if the app asked for that."""
    drain = Drain(on_signal=None, environ={})
    counting = Counting(drain, dialect, case.get("functions", ()), every_statement=True)
    for before in case.get("before", ()):
        names(counting, before)
    assert names(counting, case["sql"]) == case["procedures"]
