"""`make test` makes the tests that it runs, and hardly any others."""

from __future__ import annotations

from typing import Any

import pytest

from rig.fixtures import short_form
from rig.matrix import matrix


def after(values: list[Any], **how: Any) -> list[Any]:
    """Return what is left of a list of parameters."""
    short_form.shorten([pytest.mark.parametrize("each", values, **how).mark])
    return values


def test_what_runs_in_the_soak_only_is_no_parameter() -> None:
    """What is left is in its order."""
    assert after(matrix([1, 2, 3, 4], 4, 2)) == [2, 4]
    assert after(["a", "b"]) == ["a", "b"]


def test_a_list_that_would_be_empty_stays() -> None:
    """Without it pytest would make one skipped test, and CI refuses those."""
    values = matrix([1, 2])
    assert after(list(values)) == values


def test_a_list_with_names_stays() -> None:
    """The names would belong to other parameters."""
    values = matrix([1, 2], 1)
    assert after(list(values), ids=["one", "two"]) == values


def test_a_test_of_the_soak_is_long() -> None:
    """Also if it has other marks."""
    assert short_form.is_long([pytest.mark.timeout(9), pytest.mark.soak])
    assert not short_form.is_long([pytest.mark.timeout(9)])
