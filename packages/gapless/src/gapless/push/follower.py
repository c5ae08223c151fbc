"""Follow what the release server tells of one upload, until it has ended.

The clock and the wire are arguments: what is decided here can be tried without either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gapless.base import clock
from gapless.base.errors import TimedOutError
from gapless.push.outcome import ENDED, Outcome, decode, line

NOBODY_S = 8.0
"""After that long it is said that nobody took the upload."""
HERE, GONE = b"here", b"gone"


@dataclass(slots=True)
class Follower:
    """Hears lines: `here` or `gone` (the tarball in the inbox), and records."""

    upload: str
    say: Callable[[str], None]
    timeout_s: float
    last: Outcome | None = None
    _began: float = 0.0
    _warned: bool = False
    _doubted: bool = False

    def follow(self, heard: Iterator[bytes]) -> Outcome:
        """Return the outcome in which the upload ends; lines come at least each second.

        Raises TimedOutError.
        """
        self._began = clock.monotonic()
        for each in heard:
            if self._take(each.strip()):
                assert self.last is not None
                return self.last
            if self.remaining_s() <= 0:
                break
        raise TimedOutError(
            f"{self.upload}: no end after {self.timeout_s:g} s; "
            + (f"last heard: {line(self.last)}" if self.last else "nobody took it"),
            hint="what was begun goes on; `gapless rollout status` on the release server "
            "shows it"
            if self.last
            else "is `gapless watch` running there, with a [release.NAME] for this app?",
        )

    def remaining_s(self) -> float:
        """Return for how long it may still be waited."""
        return self._began + self.timeout_s - clock.monotonic()

    def _take(self, heard: bytes) -> bool:
        """Hear one line; tell whether the upload has ended."""
        if heard in (HERE, GONE, b""):
            if self.last is None and heard:
                self._wonder(lies_there=heard == HERE)
            return False
        try:
            found = decode(heard)
        except ValueError as error:
            if not self._doubted:
                self._doubted = True
                self.say(f"what the release server tells is ignored: {error}")
            return False
        if found.upload != self.upload:
            return False
        if self.last is None or line(found) != line(self.last):
            self.say(line(found))
        self.last = found
        return found.stage in ENDED

    def _wonder(self, *, lies_there: bool) -> None:
        waited_s = clock.monotonic() - self._began
        if self._warned or waited_s < min(NOBODY_S, self.timeout_s / 2):
            return
        self._warned = True
        self.say(
            "nobody has taken it yet: is `gapless watch` running there, "
            "with a [release.NAME] for this app? waiting on"
            if lies_there
            else "it was taken by something that tells no outcome; waiting on"
        )
