"""Metrics and actions that a Node program tells of on its channel, as @pm2/io does.  Pure.

A message of the type `axm:monitor` has `data`: {NAME: {value, type, unit, historic}}; one
of the type `axm:action` offers an action: `data` is {action_name, arity}.

Rule: a program may send anything.  What is kept is bounded in number and in length, has
plain types, and can be shown; the rest is left out without a word.
"""

from __future__ import annotations

import math
from typing import Any

from gapless.base.outside.text import printable

MOST_METRICS = MOST_ACTIONS = 64
LONGEST_NAME, LONGEST_VALUE, LONGEST_UNIT = 100, 200, 40
_MOST_ARITY = 255
Metrics = dict[str, dict[str, Any]]
Actions = dict[str, int]


def take_metrics(kept: Metrics, content: Any) -> None:
    """Note the metrics of a message among those that are kept; the newest value stays."""
    for name, each in _items(content, MOST_METRICS):
        metric = _metric(each)
        if metric is not None and (name in kept or len(kept) < MOST_METRICS):
            kept[name] = metric


def take_action(kept: Actions, content: Any) -> None:
    """Note the action that a message offers: its name, and how many arguments it takes."""
    found = content if isinstance(content, dict) else {}
    name, arity = found.get("action_name"), found.get("arity", 0)
    if not isinstance(name, str) or not name or len(name) > LONGEST_NAME:
        return
    if name != printable(name) or (name not in kept and len(kept) >= MOST_ACTIONS):
        return
    fits = type(arity) is int and 0 <= arity <= _MOST_ARITY
    kept[name] = arity if fits else 0


def _items(content: Any, most: int) -> list[tuple[str, Any]]:
    found = list(content.items())[:most] if isinstance(content, dict) else []
    return [
        (printable(name[:LONGEST_NAME]), each)
        for name, each in found
        if isinstance(name, str) and name
    ]


def _metric(each: Any) -> dict[str, Any] | None:
    """Return a metric as it is kept; None if it has no value that can be shown."""
    found = each if isinstance(each, dict) else {"value": each}
    value = _value(found.get("value"))
    if value is None:
        return None
    return {
        "value": value,
        "type": _text(found.get("type")),
        "unit": _text(found.get("unit")),
        "historic": found.get("historic") is True,
    }


def _value(value: Any) -> str | int | float | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return printable(value[:LONGEST_VALUE])
    if isinstance(value, int | float) and abs(value) < 1 << 63 and math.isfinite(value):
        return value
    return None


def _text(value: Any) -> str:
    return printable(value[:LONGEST_UNIT]) if isinstance(value, str) else ""
