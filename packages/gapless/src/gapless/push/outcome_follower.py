"""Follow the outcome of one upload until it has ended.

The connection is an argument: tests need none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gapless.base import clock
from gapless.base.errors import TimedOutError
from gapless.base.outside.text import printable
from gapless.push.outcome import WAIT_ENDS_AT, Outcome, decode, summary

WARN_AFTER_S = 8.0
"""After so long without an outcome a warning is printed."""
IN_INBOX, NOT_IN_INBOX = b"here", b"gone"
"""Lines that say whether the upload is in the inbox; any other line is a record."""


@dataclass(slots=True)
class OutcomeFollower:
    """Reads lines about one upload, and prints each change of its outcome."""

    upload: str
    print_line: Callable[[str], None]
    timeout_s: float
    last: Outcome | None = None
    _began: float = 0.0
    _has_warned: bool = False
    _has_ignored: bool = False
    """Whether a line that is no record was reported already."""

    def follow(self, lines: Iterator[bytes]) -> Outcome:
        """Return the outcome with which the wait ends; a line comes at least each second.

        Raises TimedOutError.
        """
        self._began = clock.monotonic()
        for each in lines:
            if self._take(each.strip()):
                assert self.last is not None
                return self.last
            if self.remaining_s() <= 0:
                break
        raise TimedOutError(
            f"{self.upload}: no end after {self.timeout_s:g} s; "
            + (
                f"last outcome: {summary(self.last)}"
                if self.last
                else "no publisher took it"
            ),
            hint=f"what was begun goes on; {_status(self.last)} on the release server "
            "shows it"
            if self.last
            else "is `gapless watch` running there, with a [release.NAME] for this app?",
        )

    def remaining_s(self) -> float:
        """Return how long the wait may still last."""
        return self._began + self.timeout_s - clock.monotonic()

    def _take(self, line: bytes) -> bool:
        """Take in one line; return whether the wait has ended."""
        if line in (IN_INBOX, NOT_IN_INBOX, b""):
            if self.last is None and line:
                self._warn_if_late(in_inbox=line == IN_INBOX)
            return False
        try:
            found = decode(line)
        except ValueError as error:
            if not self._has_ignored:
                self._has_ignored = True
                why = printable(str(error))
                self.print_line(f"a line of the release server is ignored: {why}")
            return False
        if found.upload != self.upload:
            return False
        if self.last is None or summary(found) != summary(self.last):
            self.print_line(summary(found))
        self.last = found
        return found.stage in WAIT_ENDS_AT

    def _warn_if_late(self, *, in_inbox: bool) -> None:
        waited_s = clock.monotonic() - self._began
        if self._has_warned or waited_s < min(WARN_AFTER_S, self.timeout_s / 2):
            return
        self._has_warned = True
        self.print_line(
            "no publisher has taken it yet: is `gapless watch` running there, "
            "with a [release.NAME] for this app? still waiting"
            if in_inbox
            else "it was taken by a program that reports no outcome; still waiting"
        )


def _status(last: Outcome) -> str:
    """Return the command that shows how far a release has come."""
    shows = "rollout status" if last.rollout else "releases"
    return printable(f"`gapless {shows} {last.app}`")
