"""One value of a metric.  Pure."""

from __future__ import annotations

from typing import NamedTuple

from gapless.base.outside.text import printable

LONGEST_LABEL = 200


class Sample(NamedTuple):
    """One value of a metric, or the number and the sum of a summary."""

    name: str
    labels: tuple[str, ...]
    """In the order of the family's label names."""
    value: float
    number: int = 0


def sample(name: str, value: float, *labels: object, number: int = 0) -> Sample:
    """Return a value; its labels are bounded, and have no control character."""
    texts = (printable(str(each)[:LONGEST_LABEL]) for each in labels)
    return Sample(f"gapless_{name}", tuple(texts), float(value), number)
