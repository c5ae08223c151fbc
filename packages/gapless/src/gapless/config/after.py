"""What is wrong with the order of the apps in one file, as their `after` says it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gapless.supervisor.decide import order


def mistakes(after: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
    """Return a label and what is wrong with its `after`, for each mistake.

    *after* has the labels of all the apps in a file, and those that each names.
    """
    found = [
        (
            label,
            f"there is no app {each!r} in this file; it has {', '.join(after)}"
            if each != label
            else "an app cannot be after itself",
        )
        for label, others in after.items()
        for each in others
        if each not in after or each == label
    ]
    if not found and (names := order.circle(after)):
        way = " after ".join(names)
        found.append((names[0], f"a circle, in which nothing could start first: {way}"))
    return found
