"""What looks at one connection tell together: may its answer go on?  Pure.

One look shows that bytes went out last, so that nothing is owed (`is_busy`).  But an answer
that is written piece by piece looks like that between its pieces.  Two looks tell more:
bytes that go out again, with no request in between, are the next piece.
"""

from __future__ import annotations

from dataclasses import dataclass

from gapless.supervisor.kernel.connections import (
    CLOSE_WAIT,
    ESTABLISHED,
    RECENT_MS,
    Connection,
    is_busy,
)

QUIET_S = 5.0
"""An answer is over when nothing went either way for so long; longer if it has gaps."""
GOES_ON_S = 0.3
"""A stream goes on whose last piece is not older, or than two of its longest gaps."""
GAPS = 3
"""It is over when it has been silent for so many times its longest gap."""


@dataclass(slots=True)
class Progress:
    """What was seen of one connection since it is looked at."""

    received: int
    segments: int
    moved_at: float
    """When bytes of the app were last seen to go one way or the other."""
    sends: bool = True
    """The app was seen to send at the last look: what follows is the same burst."""
    is_stream: bool = False
    """It was written to in two bursts or more since its last request."""
    longest_gap_s: float = 0.0

    @classmethod
    def begin(cls, connection: Connection, now: float) -> Progress:
        """Return what the first look tells."""
        silent_s = _silent_s(connection)
        return cls(connection.bytes_received, connection.segments_sent, now - silent_s)

    def look(self, connection: Connection, now: float) -> None:
        """Take in another look."""
        asks = connection.bytes_received != self.received
        sends = connection.segments_sent != self.segments
        if asks:
            self.is_stream, self.longest_gap_s = False, 0.0
        elif sends and not self.sends:
            self.is_stream = True
            self.longest_gap_s = max(self.longest_gap_s, now - self.moved_at)
        if asks or sends:
            self.moved_at = now
        # What the kernel has not sent yet was written before.
        self.sends = asks or sends or connection.unsent > 0
        self.received = connection.bytes_received
        self.segments = connection.segments_sent


def is_under_way(connection: Connection, progress: Progress | None = None) -> bool:
    """Return whether an answer is owed on a connection, or may not be over yet."""
    if is_busy(connection):
        return True
    if not is_open(connection):
        return False
    silent_s = _silent_s(connection)
    if progress is not None and progress.is_stream:
        return silent_s < max(QUIET_S, GAPS * progress.longest_gap_s)
    # Without other looks: bytes went out long after the request, so more may follow, and
    # the gaps may be as long as that.
    late_ms = connection.last_received_ms - connection.last_sent_ms
    return late_ms > RECENT_MS and silent_s < max(QUIET_S, late_ms / 1000)


def is_moving(connection: Connection, progress: Progress | None = None) -> bool:
    """Return whether an answer is not over for certain: it is owed, or goes on."""
    if is_busy(connection):
        return True
    if progress is None or not (progress.is_stream and is_open(connection)):
        return False
    return _silent_s(connection) <= max(GOES_ON_S, 2 * progress.longest_gap_s)


def is_unknown(connection: Connection) -> bool:
    """Return whether an answer that seems to be over may not be: it went on just now."""
    return is_open(connection) and _silent_s(connection) < QUIET_S


def is_open(connection: Connection) -> bool:
    """Return whether a process may write to a connection, and was asked for something."""
    held = connection.inode != 0 and connection.state in (ESTABLISHED, CLOSE_WAIT)
    return held and connection.bytes_received > 0


def _silent_s(connection: Connection) -> float:
    return min(connection.last_received_ms, connection.last_sent_ms) / 1000
