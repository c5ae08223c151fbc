"""Which addresses an instance does not listen on yet.  Pure, a part of `readiness`.

A path may have in it what is another thing each time: the number of a process, a time, the
number of an instance or of a release, a few letters at random.  Then the path that an
instance of before listened on is not asked for, but one that looks like it.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

_NUMBER = re.compile(r"\d+")
_DRAWN = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z_]*\d)[A-Za-z0-9_]{6,}")
"""Letters and digits in one word, as mktemp(1) draws them."""
_BY_NAME = ("unix:", "udp:")


def without_like(
    required: AbstractSet[str], listens: AbstractSet[str]
) -> frozenset[str]:
    """Return the required addresses on which, or on their like, an instance is not."""
    absent = required - listens
    if not absent:
        return frozenset()
    others = {shape(each) for each in listens - required}
    return frozenset(
        each
        for each in absent
        if not (each.startswith(_BY_NAME) and shape(each) in others)
    )


def shape(address: str) -> str:
    """Return an address without what may differ from one process to the next."""
    return _NUMBER.sub("#", _DRAWN.sub("*", address))
