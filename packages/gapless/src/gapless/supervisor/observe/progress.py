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
LONG_BURST_S = 0.2
"""What is written for longer without a gap is a stream as well."""
GAPS = 3
"""It is over when it has been silent for so many times its longest gap."""


@dataclass(slots=True)
class Progress:
    """What was seen of one connection since it is looked at."""

    received: int
    segments: int
    moved_at: float
    """When bytes of the app were last seen to go one way or the other."""
    answering_since: float | None
    """When the first bytes since its last request went out; None: none did."""
    request_seen: bool = False
    """Whether its last request came while it was looked at."""
    sends: bool = True
    """Whether bytes went out at the last look: those that follow are the same burst."""
    is_behind: bool = False
    """Whether the kernel had not sent everything at the last look."""
    is_stream: bool = False
    """It was written to in two bursts or more since its last request, or for long."""
    longest_gap_s: float = 0.0

    @classmethod
    def begin(cls, connection: Connection, now: float) -> Progress:
        """Return what the first look tells."""
        sent = connection.segments_sent > 0
        answers = sent and connection.last_sent_ms <= connection.last_received_ms
        return cls(
            received=connection.bytes_received,
            segments=connection.segments_sent,
            moved_at=now - _silent_s(connection),
            answering_since=now - connection.last_sent_ms / 1000 if answers else None,
            is_behind=connection.unsent > 0,
        )

    def look(self, connection: Connection, now: float) -> None:
        """Take in another look."""
        asks = connection.bytes_received != self.received
        sends = connection.segments_sent != self.segments
        if asks:
            self.request_seen, self.answering_since = True, None
            self.is_stream, self.longest_gap_s = False, 0.0
        if sends:
            self._note_bytes(now)
        if asks or sends:
            self.moved_at = now
        self.sends, self.is_behind = sends, connection.unsent > 0
        self.received = connection.bytes_received
        self.segments = connection.segments_sent

    def _note_bytes(self, now: float) -> None:
        if self.answering_since is None:
            self.answering_since = now
        elif self.is_behind:
            return  # they were written before, and the kernel sends them now
        elif not self.sends:
            self.is_stream = True
            self.longest_gap_s = max(self.longest_gap_s, now - self.moved_at)
        elif now - self.answering_since > LONG_BURST_S:
            self.is_stream = True  # its pieces come faster than the looks


def is_under_way(
    connection: Connection, progress: Progress | None = None, *, patient: bool = True
) -> bool:
    """Return whether an answer is owed on a connection, or may not be over yet.

    Who is not *patient* waits for what is known to be owed, and for known streams.
    """
    if is_busy(connection):
        return True
    if not is_open(connection):
        return False
    silent_s = _silent_s(connection)
    if progress is not None and progress.is_stream:
        return silent_s < max(QUIET_S, GAPS * progress.longest_gap_s)
    if not patient or (progress is not None and progress.request_seen):
        return False
    # The request came before the first look: if bytes went out long after it, more may
    # follow, and the gaps may be as long as that.
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
