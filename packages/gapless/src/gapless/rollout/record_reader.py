"""Read records with suspicion: what cannot be trusted is reported once and ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gapless.coordinator.model import Entry

Complain = Callable[[str], None]
T = TypeVar("T")


class RecordReader:
    """Decodes entries of a coordinator."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self._reported: dict[str, str] = {}
        """By key: what was reported last."""

    def read(self, key: str, entry: Entry, decode: Callable[[bytes], T]) -> T | None:
        """Return the decoded record; None if *decode* raises ValueError."""
        try:
            return decode(entry.value)
        except ValueError as error:
            if self._reported.get(key) != str(error):
                self._reported[key] = str(error)
                self._complain(f"{key} is ignored: {error}")
            return None
