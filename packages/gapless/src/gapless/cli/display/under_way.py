"""The work of an app that is under way: its procedures, and its calls to databases.

A row is what `list` returns of one app.
"""

from __future__ import annotations

from typing import Any

LONGEST_NAME = 40
"""Longer names are cut off in a line with other text; tables show them whole."""
MOST_NAMES = 5
HEADINGS = ["instance", "under way", "pid", "since", "for", "name"]


def procedures(row: dict[str, Any]) -> list[list[str]]:
    """Return the procedures of an app as rows of a table, the oldest first."""
    return [
        _cells(each, "procedure", str(each["name"])) for each in row["procedures_named"]
    ]


def calls(row: dict[str, Any]) -> list[list[str]]:
    """Return the outstanding calls of an app as rows, as the kernel shows them."""
    return [
        _cells(each, "call", f"connection to {each['to']}, the answer outstanding")
        for each in row["outgoing"] or ()
    ]


def unnamed(row: dict[str, Any]) -> int:
    """Return how many procedures run that are not named."""
    return max(0, (row["procedures"] or 0) - len(row["procedures_named"]))


def summary(row: dict[str, Any]) -> str:
    """Return the number of procedures of an app, and the oldest of them."""
    count = row["procedures"]
    if not count:
        return "-" if count is None else "0"
    oldest = row["procedures_named"][:1]
    return f"{count}: " + _name_and_start(oldest[0]) if oldest else str(count)


def sentence(row: dict[str, Any]) -> str:
    """Return the names of what is under way in one line; empty if nothing is."""
    named = [_name_and_start(each) for each in row["procedures_named"]]
    named += [
        f"connection to {each['to']}, the answer outstanding for {each['for_s']:.1f} s"
        for each in row["outgoing"] or ()
    ]
    more = len(named) - MOST_NAMES
    return ", ".join(named[:MOST_NAMES] + [f"{more} more"] * (more > 0))


def _name_and_start(each: dict[str, Any]) -> str:
    return f"{each['name'][:LONGEST_NAME]} since {_time_of_day(each['since'])}"


def _time_of_day(stamp: str) -> str:
    """Return the time of day of a stamp such as 2024-05-01T10:00:00.000+00:00."""
    return stamp[11:19]


def _cells(each: dict[str, Any], kind: str, name: str) -> list[str]:
    return [
        str(each["instance"]),
        kind,
        str(each["pid"]),
        _time_of_day(each["since"]),
        f"{each['for_s']:.1f} s",
        name,
    ]
