"""What the connections of a takeover share: counts, and the relay's attention.

A busy connection is parked in the moment between an answer and the next request, so it has
to be looked at again and again.  That is done for a few at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gapless.supervisor.relay.parking import IDLE_S, Rest

HURRY_S, SPIN_S = 0.003, 0.0025
"""For so long it is looked at more often, and without pause, when it was given back."""
FOCUS_S = 0.1
"""For so long one that is busy has the relay's attention before others get it too."""
PATIENT_TIMES = 3
"""How often one is given back before it is looked at without pause: who rests between
two requests is caught without."""


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


@dataclass(slots=True)
class Attention:
    """How much of that one connection has."""

    pace: Pace
    since: float | None = None
    """When it was first tried to park it, while it was busy."""
    hurries_until: float = 0.0
    """Until when it is looked at more often: its process reads what was missing."""
    rest: Rest = field(default_factory=Rest)
    _times_back: int = 0

    def is_free(self) -> bool:
        """Return whether there is some for it though it is busy."""
        return self.since is not None or self.pace.at_once or self.pace.room > 0

    def begin(self, now: float, silent_s: float) -> bool:
        """Let it have some if it is busy; return whether it may be parked now.

        A few at a time: each waits for the others' exchanges.
        """
        if silent_s >= IDLE_S:
            return True
        if not self.is_free():
            return False
        if self.since is None:
            self.since = now
            self.pace.room -= 1
        return True

    def is_in_focus(self, now: float) -> bool:
        """Return whether the relay's attention is with it, and not long enough yet."""
        return self.since is not None and now < self.since + FOCUS_S

    def give_back(self, now: float, *, small: bool) -> bool:
        """Note that it was given back; return whether to look without pause now.

        A *small* piece of a request may be all that was missing.
        """
        self._times_back += 1
        if not small:
            self.rest.begin(now)
        elif self._times_back > PATIENT_TIMES or self.pace.at_once:
            self.hurries_until = now + HURRY_S
            return True
        return False

    def spin_s(self, *, blocks: bool) -> float:
        """Return for how long to look without pause; its reader *blocks* in recv(2)."""
        return min(SPIN_S if blocks else SPIN_S / 2, self.pace.spin_s)
