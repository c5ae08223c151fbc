"""When a connection may be taken from a process that runs: the decision.  Pure.

A connection is *parked* while SO_RCVLOWAT keeps its process from being woken for what
arrives.  What the process sends after that is its answer; what arrives after its answer
is the next request, and that one may be taken.  What arrives before is the rest of a
request that the process has begun to read: it is given back within a tick.

Rule: in doubt it is given back.  A process that was woken late answers, which is no loss;
a request that was taken from the middle of another one cannot be put back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

QUIET_S = 5.0
"""A parked connection that was silent for so long is settled: nobody waits on it."""
SHORT_QUIET_S = 0.02
"""The same where its process is to end at once: streams are known by earlier looks."""
IDLE_S = 1.0
"""By the ages of its bytes alone, half a request, or one that waits for its body behind
`100 Continue`, may look answered: no client rests for so long there."""
INTERIM_BYTES = 25
"""The length of `HTTP/1.1 100 Continue` and its end: so few bytes are no answer."""
SHORTEST_REST_S, LONGEST_REST_S = 0.002, 0.032
"""How long a connection that was given back is left alone: twice as long each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a connection shows."""

    received: int
    """Bytes that came, read or not."""
    unread: int
    written: int
    """Bytes that the process has written."""
    unsent: int = 0
    """Bytes of them that the peer has not acknowledged."""
    silent_s: float = 0.0
    """Since bytes went either way."""
    idle: bool = False
    """Nothing is owed on it, by the ages of its last bytes."""
    is_open: bool = True
    """Neither side has closed it."""
    steady: bool = True
    """Nothing moved during the look."""

    @property
    def position(self) -> int:
        """Return how many bytes the process has read."""
        return self.received - self.unread

    @property
    def rests(self) -> bool:
        """Return whether nothing is owed, and the next bytes begin a request."""
        return self.idle and self.silent_s >= IDLE_S


class Step(Enum):
    """What is to be done with a parked connection."""

    WAIT = "wait"
    GIVE_BACK = "give back"  #: what waits is the process's
    JUDGE = "judge"  #: what waits should be a request's head


def may_be_parked(look: Look) -> bool:
    """Return whether the process may be kept from being woken for what comes next."""
    return look.is_open and look.steady and look.unread == 0


def slipped_in(before: Look, after: Look) -> bool:
    """Return whether bytes came while a connection was parked: they may have woken it."""
    return not after.steady or after.unread > 0 or after.received != before.received


@dataclass(slots=True)
class Course:
    """What earlier looks at a connection tell that its process serves.

    The process has answered what it had read if that is all that had come at an earlier
    look, no more, and it has written since.  Then what comes is the next request, also
    where it waits already: a busy program is never seen without one.
    """

    received: int = -1
    """What had come at that look, or where a request ends."""
    written: int = 0
    _is_end: bool = False
    """A request is known to end there."""

    def expect(self, end: int, written: int) -> None:
        """Take in that the request which the process gets now ends at a position."""
        self.received, self.written, self._is_end = end, written, True

    def look(self, look: Look) -> bool:
        """Take in a look; return whether what the process has read is answered."""
        if not look.steady:
            return False
        written = look.written - self.written > INTERIM_BYTES
        answered = written and look.position == self.received
        if answered or (self._is_end and look.position <= self.received):
            return answered
        if look.received != self.received:
            self.received, self.written = look.received, look.written
            self._is_end = False
        return False


@dataclass(slots=True)
class Parking:
    """What is known of a connection since it was parked."""

    position: int
    written: int
    idle: bool
    """Nothing was owed on it when it was parked, or it rested since."""
    last: Look | None = None
    """The last look, if bytes waited at it."""

    @classmethod
    def begin(cls, look: Look, *, answered: bool = False) -> Parking:
        """Return what is known when it was parked, and what looks before told."""
        untouched = look.received == 0 and look.written == 0
        return cls(
            position=look.position,
            written=look.written,
            idle=look.rests or untouched or answered,
        )

    def answered(self, look: Look) -> bool:
        """Return whether what the process had read was answered, or nothing was owed."""
        return self.idle or look.written - self.written > INTERIM_BYTES

    def look(self, look: Look) -> Step:
        """Return what one more look asks for."""
        if not look.steady:
            return Step.WAIT
        if not look.is_open or look.position != self.position:
            return Step.GIVE_BACK  # the process was woken, and reads
        if not look.unread:
            self.last = None
            self.idle |= look.rests
            return Step.WAIT
        if not self.answered(look) or look.unsent:
            return Step.GIVE_BACK
        if self.idle:
            return Step.JUDGE  # nothing was owed before it came
        before, self.last = self.last, look
        if before is None or before.written != look.written:
            return Step.WAIT  # the process may be about to read, or still writes
        return Step.JUDGE

    def is_settled(self, look: Look, quiet_s: float = QUIET_S) -> bool:
        """Return whether nothing is under way, so that its process may end."""
        return not look.unread and self.answered(look) and look.silent_s >= quiet_s


@dataclass(slots=True)
class Rest:
    """How long a connection is left alone after it was given back."""

    until: float = 0.0
    _next_s: float = SHORTEST_REST_S

    def begin(self, now: float, *, longest: bool = True) -> None:
        """Leave it alone, for twice as long as the last time; or as short as it may be."""
        if not longest:
            self._next_s = SHORTEST_REST_S
        self.until = now + self._next_s
        self._next_s = min(2 * self._next_s, LONGEST_REST_S)
