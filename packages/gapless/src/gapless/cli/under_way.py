"""What an app is in the middle of, by name: procedures, and calls that wait for answers."""

from __future__ import annotations

from typing import Any

LONGEST_NAME = 40
"""In a line with other things; tables have room."""
HEADINGS = ["instance", "under way", "pid", "since", "for", "name"]


def procedures(row: dict[str, Any]) -> list[list[str]]:
    """Return the procedures of an app as rows, the oldest first."""
    return [
        _cells(each, "procedure", str(each["name"])) for each in row["procedures_named"]
    ]


def calls(row: dict[str, Any]) -> list[list[str]]:
    """Return what an app has asked of others, as the kernel sees it."""
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
    return f"{count}: " + _told(oldest[0]) if oldest else str(count)


def sentence(row: dict[str, Any]) -> str:
    """Name what is under way, for a line of text; nothing if nothing is."""
    named = [_told(each) for each in row["procedures_named"]]
    named += [
        f"connection to {each['to']}, the answer outstanding for {each['for_s']:.1f} s"
        for each in row["outgoing"] or ()
    ]
    more = len(named) - 5
    return ", ".join(named[:5] + [f"{more} more"] * (more > 0))


def _told(each: dict[str, Any]) -> str:
    return f"{each['name'][:LONGEST_NAME]} since {clock_time(each['since'])}"


def clock_time(stamp: str) -> str:
    """Return the time of day of a stamp."""
    return stamp[11:19]


def _cells(each: dict[str, Any], what: str, name: str) -> list[str]:
    return [
        str(each["instance"]),
        what,
        str(each["pid"]),
        clock_time(each["since"]),
        f"{each['for_s']:.1f} s",
        name,
    ]
