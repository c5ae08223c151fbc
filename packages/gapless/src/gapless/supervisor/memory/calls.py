"""A call to a database that an app waits for, as a value."""

from __future__ import annotations

from dataclasses import dataclass

LONG_CALL_S = 1.0
"""A call that lasts longer is no part of a quick request."""
MOST_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Something asked on a connection, and not answered yet."""

    inode: int
    turn: int
    """Another number for another call on the same connection."""
    to: str
    for_s: float
    before_stop: bool = True
    """Whether it began before the stop signal; later ones are part of the app's exit."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"connection to {self.to}, the answer outstanding"
