"""Read records with suspicion: what cannot be trusted is reported once and ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gapless.base.outside.text import printable
from gapless.coordinator.model import Entry

Complain = Callable[[str], None]
T = TypeVar("T")
MOST_REPORTS = 1000
"""Whoever may write the coordinator cannot fill a log."""


class RecordReader:
    """Decodes entries of a coordinator."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self._reported: set[tuple[str, str]] = set()
        """Keys, each with what was wrong there: reported once."""

    def read(self, key: str, entry: Entry, decode: Callable[[bytes], T]) -> T | None:
        """Return the decoded record; None if *decode* raises ValueError."""
        try:
            return decode(entry.value)
        except ValueError as error:
            known = key, str(error)
            if known not in self._reported and len(self._reported) < MOST_REPORTS:
                self._reported.add(known)
                self._complain(printable(f"{key} is ignored: {error}"))
            return None
