"""What the status of an app tells, in the words that `list` shows.  Pure.

Rule: who asks whether an app runs asks one of these; they differ while it is stopped, and
after gapless gave it up.
"""

from __future__ import annotations


def is_wanted(status: str) -> bool:
    """Return whether the app is to run, though gapless may have given it up."""
    return status not in ("stopped", "stopping")


def is_over(status: str) -> bool:
    """Return whether nothing of the app lives, and nothing will by itself."""
    return status in ("stopped", "gave up")


def is_in_service(status: str) -> bool:
    """Return whether new connections are for the app, or soon will be."""
    return is_wanted(status) and not is_over(status)
