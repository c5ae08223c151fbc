"""Both libraries agree on what a stored procedure is: spec/vectors/statements.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gapless_drain import Drain
from gapless_drain.databases.statement_counter import StatementCounter

VECTORS = Path(__file__).parents[2] / "spec" / "vectors" / "statements.json"
ALL = json.loads(VECTORS.read_text())

NOT_HERE = {"prepared anew is forgotten"}
"""Python remembers what was prepared on any connection: better one count too many."""


def runs(kind: str) -> Iterator[Any]:
    """Yield each case in each of its dialects; only mysql2 has the placeholder ??."""
    for case in ALL[kind]:
        for dialect in case["dialects"]:
            name = case.get("name", case["sql"])
            if "??" not in case["sql"] and name not in NOT_HERE:
                yield pytest.param(case, dialect, id=f"{dialect}: {name}")


def names(counter: StatementCounter, text: str) -> list[str]:
    """Return the names under which a text counts."""
    procedure = counter.procedure_in(text)
    return [] if procedure is None else procedure.names


@pytest.mark.parametrize(("case", "dialect"), list(runs("cases")))
def test_a_statement_is_what_the_vectors_say(
    case: dict[str, Any], dialect: Any
) -> None:
    """After the statements that ran before on the same connection."""
    drain = Drain(on_signal=None, environ={})
    counter = StatementCounter(drain, dialect, case.get("functions", ()))
    for before in case.get("before", ()):
        names(counter, before)
    assert names(counter, case["sql"]) == case["procedures"]


@pytest.mark.parametrize(("case", "dialect"), list(runs("every_statement")))
def test_every_statement_is_what_the_vectors_say(
    case: dict[str, Any], dialect: Any
) -> None:
    """Outside a request, if the app has set `every_statement`."""
    drain = Drain(on_signal=None, environ={})
    functions = case.get("functions", ())
    counter = StatementCounter(drain, dialect, functions, every_statement=True)
    for before in case.get("before", ()):
        names(counter, before)
    assert names(counter, case["sql"]) == case["procedures"]
