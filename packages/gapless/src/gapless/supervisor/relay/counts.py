"""What became of the connections of a generation."""

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
