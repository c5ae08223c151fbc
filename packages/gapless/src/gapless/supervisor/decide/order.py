"""In which order apps start and end that name each other in `after`.  Pure.

Rule 1: `after` orders, it does not require: an app waits for what starts at the same time,
and not for what is stopped, has failed or is not there.
Rule 2: nothing waits in a circle, whatever the configurations say: an edge that would
close one is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

After = Mapping[str, Collection[str]]
"""The apps that each app is after, by its name."""


def to_wait_for(
    name: str, after: Collection[str], coming_up: Collection[str], waiting: After
) -> set[str]:
    """Return the apps that have to be ready before an app may start.

    *waiting*: which apps wait already, and for which.
    """
    return {
        each
        for each in after
        if each in coming_up and each != name and not _leads_to(waiting, each, name)
    }


def to_end_first(name: str, after: After, ending: Collection[str]) -> set[str]:
    """Return the apps that have to end before an app may: those after it that end too."""
    return {
        each
        for each in ending
        if name in after.get(each, ()) and not _leads_to(after, name, each)
    }


def in_order(names: Collection[str], after: After) -> list[str]:
    """Return names with each one behind those that it is after, else as they stand."""
    found: dict[str, None] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in found:
            return
        for each in names:
            if each in after.get(name, ()) and each not in (*path, name):
                add(each, (*path, name))
        found.setdefault(name)

    for name in names:
        if name not in found:
            add(name, ())
    return list(found)


def backwards(names: Collection[str], after: After) -> After:
    """Return the order in which apps end: each after those that started after it."""
    return {
        name: [each for each in names if name in after.get(each, ())] for name in names
    }


def circle(after: After) -> list[str]:
    """Return the apps of one circle, the first one also at its end; empty without one."""
    clear: set[str] = set()

    def find(name: str, path: tuple[str, ...]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in clear:
            for each in after.get(name, ()):
                if found := find(each, (*path, name)):
                    return found
            clear.add(name)
        return []

    return next((found for name in after if (found := find(name, ()))), [])


def _leads_to(edges: After, start: str, goal: str) -> bool:
    """Return whether a way along the edges leads from one app to another."""
    seen, ahead = set[str](), [start]
    while ahead:
        name = ahead.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            ahead += edges.get(name, ())
    return False
