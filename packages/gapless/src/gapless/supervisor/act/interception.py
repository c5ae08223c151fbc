"""Whether system calls of instances can be intercepted, found out by trial.

A trial can fail for a reason that passes: the machine was busy, or out of processes.  So it
is made again before each launch as long as it fails.
"""

from __future__ import annotations

from gapless.keeper.seccomp import trial


class Interception:
    """Knows whether interception works, and tries again while it does not."""

    def __init__(self) -> None:
        self._reason = trial.why_unavailable()

    def try_again(self) -> bool:
        """Return whether it works now."""
        if self._reason:
            self._reason = trial.why_unavailable()
        return not self._reason

    def describe(self) -> str | bool:
        """Return True if it works, else why it did not when it was tried last."""
        return self._reason or True
