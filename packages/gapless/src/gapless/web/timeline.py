"""A release as a picture: what each generation did from when to when.  Pure.

It is made of the steps of a report, or of an operation that is under way.  Each generation
has a lane of spans; each step is a mark.  Times are seconds after the request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gapless.web.board import shown

MOST_STEPS = 400
"""More are in the report; a picture of them would be black."""
_GENERATION = re.compile(r"generation ([0-9]{1,9})")
_NEW = {
    "waiting": "waiting",
    "starting": "starting",
    "recycling": "starting",
    "ready": "ready",
    "switched": "serving",
    "reverted": "failed",
    "failed": "failed",
    "superseded": "failed",
}
"""What a step makes of the new generation."""
_OLD = {
    "switched": "standby",
    "recycling": "draining",
    "draining": "draining",
    "reverted": "serving",
}
"""What it makes of the old one."""
_ONE = {"draining": "draining", "stopping": "stopping", "closed": ""}
"""What it makes of the generation that its text names; nothing: that one has ended."""


@dataclass(slots=True)
class _Lane:
    """One generation: the spans that are over, and the one that is not."""

    label: str
    spans: list[dict[str, Any]] = field(default_factory=list)
    kind: str = ""
    from_s: float = 0.0

    def turn(self, kind: str, at_s: float) -> None:
        """End the span that is open; begin one, unless *kind* is empty."""
        if kind == self.kind:
            return
        if self.kind and at_s > self.from_s:
            span = {"kind": self.kind, "from_s": self.from_s, "to_s": at_s}
            self.spans.append(span)
        self.kind, self.from_s = kind, at_s


def timeline(report: Mapping[str, Any], now_s: float | None = None) -> dict[str, Any]:
    """Return the lanes and marks of a report; *now_s* ends those of one under way."""
    steps = _steps(report.get("steps"))
    last_s = max([step["at_s"] for step in steps], default=0.0)
    ends_s = last_s if now_s is None else max(now_s, last_s)
    generation = report.get("generation")
    numbers = generation if isinstance(generation, Mapping) else {}
    old, new = _number(numbers.get("old")), _number(numbers.get("new"))
    lanes: dict[int | None, _Lane] = {}
    for number in (old, new):
        if number is not None and number not in lanes:
            lanes[number] = _Lane(f"generation {number}")
    if old is not None:
        lanes[old].turn("serving", 0.0)
    recycles = any(step["step"] == "recycling" for step in steps)
    for step in steps:
        _take(step, lanes, old, new)
        if recycles and step["step"] == "ready" and new in lanes:
            lanes[new].turn("serving", step["at_s"])  # there is no switch
    for lane in lanes.values():
        lane.turn("", ends_s)
    return {
        "lanes": [
            {"label": each.label, "spans": each.spans} for each in lanes.values()
        ],
        "marks": steps,
        "ends_s": ends_s,
        "is_open": now_s is not None,
    }


def _take(
    step: Mapping[str, Any],
    lanes: Mapping[int | None, _Lane],
    old: int | None,
    new: int | None,
) -> None:
    name, at_s = step["step"], step["at_s"]
    named = _GENERATION.search(step["detail"])
    one = lanes.get(int(named[1])) if named else None
    if name in _ONE and one is not None:
        if not (one.kind == "failed" and name == "stopping"):
            one.turn(_ONE[name], at_s)
        return
    if new == old:  # scaled: the same generation serves on
        return
    if new in lanes and name in _NEW and not _is_late(lanes[new], name):
        lanes[new].turn(_NEW[name], at_s)
    if old in lanes and name in _OLD and lanes[old].kind:
        lanes[old].turn(_OLD[name], at_s)
    elif new is None and old in lanes and name in _ONE:
        lanes[old].turn(_ONE[name], at_s)


def _is_late(lane: _Lane, name: str) -> bool:
    """Return whether a step says nothing of a generation that has come further."""
    return (lane.kind == "serving" and name in ("ready", "starting")) or (
        lane.kind == "failed"
    )


def _number(found: Any) -> int | None:
    """Return the number of a generation; None if it is none."""
    is_one = isinstance(found, int) and not isinstance(found, bool)
    return found if is_one and 0 <= found < 10**9 else None


def _steps(found: Any) -> list[dict[str, Any]]:
    """Return the steps of a report that may be of another version, or of anybody."""
    steps = []
    for step in found[:MOST_STEPS] if isinstance(found, Sequence) else ():
        at_s = step.get("at_s") if isinstance(step, Mapping) else None
        if isinstance(at_s, int | float) and 0 <= at_s < 1e9:
            steps.append(
                {
                    "step": shown(str(step.get("step", ""))[:64]),
                    "at_s": float(at_s),
                    "detail": shown(str(step.get("detail", ""))[:400]),
                }
            )
    return steps
