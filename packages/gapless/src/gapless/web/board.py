"""What is known of the apps, and what of it a browser has not been sent yet.  Pure.

Each row has the number of the look at which it changed last.  A browser that has seen
everything up to a number is sent the rows with greater ones, however many looks it missed:
one that is slow costs no memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gapless.base.outside.text import printable

_KEYS = (
    *("name", "status", "reason", "ids", "generation", "release", "instances"),
    *("restarts", "restarts_by", "since", "addresses", "memory_bytes", "cpu_percent"),
    *("requests", "procedures", "log_lines_lost", "namespace"),
)
"""What the table of apps shows of a row of `list`."""
_INSTANCE_KEYS = (
    *("id", "generation", "ordinal", "pid", "phase", "started_at", "connections"),
    *("busy", "restarts", "memory_bytes", "cpu_percent", "status_text"),
)
_FRACTION = re.compile(r"\.[0-9]{1,9}")


@dataclass(slots=True)
class Board:
    """The rows of all apps, each with the number of its last change."""

    number: int = 0
    """Of the last change of anything."""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    _changed: dict[str, int] = field(default_factory=dict)
    _order_changed: int = 0

    def update(self, rows: Iterable[dict[str, Any]]) -> bool:
        """Take the rows of a look; return whether any of them is new, changed or gone."""
        found = {str(row["name"]): row_of(row) for row in rows}
        changed = [name for name, row in found.items() if self.rows.get(name) != row]
        is_reordered = list(found) != list(self.rows)
        if not changed and not is_reordered:
            return False
        self.number += 1
        self._changed = {name: self._changed.get(name, 0) for name in found}
        self._changed |= dict.fromkeys(changed, self.number)
        if is_reordered:
            self._order_changed = self.number
        self.rows = found
        return True

    def update_one(self, row: dict[str, Any]) -> bool:
        """Take the row of an app that is known; return whether it is new."""
        found = row_of(row)
        name = str(found["name"])
        if name not in self.rows or self.rows[name] == found:
            return False
        self.number += 1
        self.rows[name], self._changed[name] = found, self.number
        return True

    def since(self, number: int) -> dict[str, Any] | None:
        """Return what changed after look *number*; None if nothing did."""
        changed = [r for n, r in self.rows.items() if self._changed[n] > number]
        if not changed and self._order_changed <= number:
            return None
        order = list(self.rows) if self._order_changed > number else None
        return {"rows": changed, "order": order}


def row_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the table shows of an app."""
    found: dict[str, Any] = shown({key: row.get(key) for key in _KEYS})
    return found | {"since": _to_seconds(found, "since")}


def instance_of(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of an instance."""
    found: dict[str, Any] = shown({key: instance.get(key) for key in _INSTANCE_KEYS})
    return found | {"started_at": _to_seconds(found, "started_at")}


def _to_seconds(row: Mapping[str, Any], key: str) -> str | None:
    """Return a time without its fraction: that differs a little from look to look."""
    text = row.get(key)
    return _FRACTION.sub("", text) if isinstance(text, str) else None


def shown(value: Any) -> Any:
    """Return data in which all of each text can be seen, as in a terminal."""
    if isinstance(value, str):
        return printable(value, kept="\n")
    if isinstance(value, Mapping):
        return {str(key): shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    return value
