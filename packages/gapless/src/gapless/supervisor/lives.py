"""How the supervisors of a home have ended, so that one that crashes does not spin.

Who holds the lock writes into its file when it began, and empties it at an orderly end.
Whoever finds a life that was short, and not over, counts it: after several in a row the
next begins later and later.  Nothing else waits: the apps serve, and the keeper holds them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace

from gapless.base import codec

SHORT_S = 10.0
"""A life that ended sooner by a fault of its own counts: longer ones cost little."""
KILLED_S = 2.0
"""The same of one that was killed, as far as can be known."""
AT_ONCE = 5
"""So many are tried at once: as many as one command tries."""
LONGEST_PAUSE_S = 60.0
_LONGEST_BYTES = 4096
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """The life of a supervisor that has the lock, or had it."""

    pid: int
    began: float
    """On the clock that goes on while the machine sleeps, and begins with each boot."""
    short_before: int = 0
    """How many short lives went before it, in a row."""
    ended: float | None = None
    """When it ended by a fault of its own; None if it was killed, or lives."""
    reason: str = ""
    """The fault."""

    @property
    def pause_s(self) -> float:
        """How long after this life the next one may begin, if this was short."""
        more = self.short_before + 1 - AT_ONCE
        return min(2.0 ** min(more, 10), LONGEST_PAUSE_S) if more >= 0 else 0.0

    def is_short(self, now: float) -> bool:
        """Return whether it ended soon, and the next one comes soon; it has ended."""
        if self.ended is None:
            return self.began <= now < self.began + self.pause_s + KILLED_S
        is_soon = self.began <= self.ended < self.began + SHORT_S
        return is_soon and self.ended <= now < self.ended + self.pause_s + SHORT_S

    @property
    def over_at(self) -> float:
        """When it was over, as far as can be known."""
        return self.began if self.ended is None else self.ended


def wait_s(last: Life | None, now: float) -> float:
    """Return how long the next supervisor waits; 0 if it may begin.  Pure."""
    if last is None or not last.is_short(now):
        return 0.0
    return max(0.0, last.over_at + last.pause_s - now)


def following(last: Life | None, *, pid: int, now: float) -> Life:
    """Return the life that begins after the last one.  Pure."""
    is_short = last is not None and last.is_short(now)
    count = last.short_before + 1 if last is not None and is_short else 0
    return Life(pid=pid, began=now, short_before=count)


def read(lock: int) -> Life | None:
    """Return the life that was not ended in order; None if there is none to be read."""
    try:
        content = os.pread(lock, _LONGEST_BYTES, 0)
        return codec.decode(Life, json.loads(content), "lock") if content else None
    except (OSError, ValueError, RecursionError):
        return None


def write(lock: int, life: Life) -> None:
    """Write down a life; a disk that takes nothing keeps nobody from living."""
    short = replace(life, reason=life.reason[:_LONGEST_REASON])
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(codec.encode(short)).encode(), 0)
    except OSError:
        return


def fail(lock: int, reason: str, *, pid: int, now: float) -> None:
    """Write down that the process of that pid ends by a fault, if it has begun."""
    last = read(lock) if lock >= 0 else None
    if last is not None and last.pid == pid:
        write(lock, replace(last, ended=now, reason=reason))


def end(lock: int) -> None:
    """Write down an orderly end."""
    try:
        os.ftruncate(lock, 0)
    except OSError:
        return
