"""What the connections of a takeover share: counts, and how they are looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Counts for the report."""

    taken: int = 0
    """Connections that carried a request to the next generation, or are held alone."""
    given_back: int = 0
    """How often one was left to its process after all."""
    cut: int = 0
    """Requests that were taken and got no whole answer."""


@dataclass(slots=True)
class Pace:
    """What holds for all connections of a takeover."""

    spin_s: float = 0.0
    """What one round may still cost."""
    room: int = 1
    """How many busy ones may begin to be parked in this round."""
    at_once: bool = False
    """Their processes end as soon as all of them are parked."""
    holds: bool = False
    """Nobody would accept a request: it waits where it is parked."""
