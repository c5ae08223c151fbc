"""What each status tells of an app: whether it is to run, is over, is in service."""

from __future__ import annotations

import ast
import inspect

import pytest

from gapless.base import app_status
from gapless.supervisor.control import status

IN_SERVICE = ("online", "starting", "reloading", "recycling", "draining")


@pytest.mark.parametrize(
    ("word", "wanted", "over", "in_service"),
    [
        ("stopped", False, True, False),
        ("stopping", False, False, False),
        ("gave up", True, True, False),
        *((word, True, False, True) for word in IN_SERVICE),
    ],
)
def test_each_status(word: str, *, wanted: bool, over: bool, in_service: bool) -> None:
    """A list of all that the supervisor says."""
    assert app_status.is_wanted(word) is wanted
    assert app_status.is_over(word) is over
    assert app_status.is_in_service(word) is in_service


def test_no_status_is_missing_here() -> None:
    """By the code of the function that says them."""
    tree = ast.parse(inspect.getsource(status.status))
    found = {
        each.value
        for one in ast.walk(tree)
        if isinstance(one, ast.Return) and one.value is not None
        for each in ast.walk(one.value)
        if isinstance(each, ast.Constant)
    }
    assert found == {"stopped", "stopping", "gave up", *IN_SERVICE}
