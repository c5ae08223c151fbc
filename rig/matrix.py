"""Parameters of tests: what runs in `make test`, and what only the soak repeats in full."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def matrix(values: Iterable[Any], *short: Any) -> list[Any]:
    """Return all values as parameters of a test; only those in *short* run in `make test`.

    The rest run in the soak.
    """
    found = list(values)
    missing = [value for value in short if value not in found]
    assert not missing, f"{missing} are no values of {found}"
    return [
        value
        if value in short
        else pytest.param(*_several(value), marks=pytest.mark.soak)
        for value in found
    ]


def times(short: int, long: int) -> list[Any]:
    """Return how often a test repeats: *short* in `make test`, *long* in the soak."""
    return [short, pytest.param(long, marks=pytest.mark.soak)]


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
