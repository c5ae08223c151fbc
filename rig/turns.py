"""Bare and counted calls take turns, so that a slow moment of the machine hits both."""

from __future__ import annotations

from collections.abc import Callable

Turn = Callable[[], float]
"""Makes a number of calls; returns the seconds that they took."""


def take_turns(
    bare: Turn, counted: Turn, *, calls: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Return the microseconds of one call, bare and counted, for each round."""
    turns = (bare, counted)
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            found[which].append(turns[which]() / calls * 1e6)
    return found
