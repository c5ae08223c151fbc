"""One connection of a process that is to end: left to it, parked, taken, or held alone.

    FREE     the process serves it; it is looked at
    PARKED   what comes does not wake the process
    TAKEN    an exchange carries its next request
    ALONE    the process is gone; the next request is waited for
    OVER     nothing is held any more

Rule: a duplicate must not keep open what its process has closed.  A client that waits for
the end of an answer sees it when the process closes, or within one tick.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from dataclasses import dataclass
from enum import Enum

from gapless.base import clock
from gapless.supervisor.relay import heads, holders, sockets
from gapless.supervisor.relay.exchange import Exchange, Outcome
from gapless.supervisor.relay.heads import Head, Verdict
from gapless.supervisor.relay.holders import Holder
from gapless.supervisor.relay.parking import (
    QUIET_S,
    Course,
    Look,
    Parking,
    Rest,
    Step,
    may_be_parked,
    slipped_in,
)
from gapless.supervisor.relay.stopped import Stopped, Stops

HEAD_S = 10.0
"""How long the head of a request may take to come whole, once no process waits for it."""
CHECK_S = 0.02
"""How often it is looked at whether a quiet connection is held, open and settled."""


MOST_AT_ONCE_BYTES = 1024
"""No program has a smaller buffer for what it reads at once (nginx: 1 KiB)."""


MOST_BODY_BYTES = 64 << 20
"""So much of a body may wait here while its process is stopped."""


HURRY_S, SPIN_S = 0.003, 0.0025
RECENT_S, NEXT_S = 0.2, 0.005
"""A client never pauses that sent so lately; its next request comes within that time."""


class State(Enum):
    """What is done with a connection."""

    FREE = "free"
    PARKED = "parked"
    TAKEN = "taken"
    ALONE = "alone"
    OVER = "over"


@dataclass(slots=True)
class Counts:
    """What became of the connections of a generation."""

    taken: int = 0
    given_back: int = 0
    cut: int = 0


class Connection:
    """A duplicate of a connection, and what is known of it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sock: socket.socket,
        inode: int,
        counts: Counts,
        stops: Stops,
    ) -> None:
        self._selector, self.sock, self.inode = selector, sock, inode
        self._counts, self._stops = counts, stops
        self.holders: list[Holder] = []
        self.state = State.FREE
        self.settled = False
        """Nothing is under way, so that its process may end."""
        self.foreign = False
        """It speaks something else, or cannot be parked: its process keeps it."""
        self.exchange: Exchange | None = None
        self._parking: Parking | None = None
        self._course, self._rest = Course(), Rest()
        self._check_at = 0.0
        self._alone_since = 0.0
        self._asked_since: float | None = None
        """When the first byte of its next request came, while it is alone."""
        self._is_counted = False
        self._stops_before = 0
        """How often its processes had been stopped when it was parked."""
        self.hurries_until = 0.0
        """Until when it is looked at more often: its process reads what was missing."""
        self._large = False
        """A request with a large body has come on it."""
        self._stopped: Stopped | None = None
        self._stopped_until = 0.0
        self._reader_has_mark = False
        """A thread may sleep in recv(2) with a mark that was taken back since."""
        self._written_before = 0
        """What its process had written when the mark was taken back."""
        self._position = -1
        """Up to where its process had read when nothing was owed, while it is free."""
        self._mend_marks()

    def _mend_marks(self) -> None:
        """Undo what a relay before this one has left."""
        match sockets.mark_of(self.sock):
            case sockets.PARKED:
                self._wake_process()
            case sockets.TAKEN:  # a request of it was read, and nobody answers it
                self.end(cut=True)
            case 1:
                pass
            case _:
                self.leave()  # the program has set a mark of its own

    # --- while its process lives ------------------------------------------------------

    def is_due(self, now: float, patience_s: float) -> bool:
        """Return whether a look may show anything new."""
        if self.state is State.PARKED:
            return now >= self._check_at or sockets.unread(self.sock) > 0
        if self.state is State.FREE and patience_s:
            return now >= self._check_at
        return True

    def round(self, now: float, patience_s: float) -> None:
        """Take one look, and one step.  Raises OSError.

        Only what was silent for *patience_s* is parked.
        """
        self._check_at = now + CHECK_S
        if self.state is State.PARKED:
            self._look_at_parked(now)
        elif self.state is State.FREE:
            self._look_at_free(now, patience_s)

    def _look_at_free(self, now: float, patience_s: float) -> None:
        look = sockets.look(self.sock)
        # What a side has closed already is its process's to finish.
        self.settled = not look.is_open or (look.idle and look.silent_s >= QUIET_S)
        self._position = look.position if look.idle and look.steady else -1
        answered = self._course.look(look)
        waits = answered and look.unread and not look.unsent
        if waits and not patience_s and self._take_waiting(look):
            return
        if self._reader_has_mark:
            self._free_reader(look)
        elif now >= self._rest.until and look.silent_s >= patience_s:
            self._park(look, now, answered=answered)

    def _take_waiting(self, look: Look) -> bool:
        """Take a request that waits for a busy process; return whether that was possible.

        The process may read at the same time.  It gets all of a small request or nothing;
        for a larger one it is stopped, and then has read nothing or something.
        """
        _, head = self._judge()
        if head is None:
            return False
        if fits(head) and look.unread <= MOST_AT_ONCE_BYTES:
            self._take(head)
            return True
        if self._take_large(head, look, asleep=False):
            return True
        self._let_go_on()
        return False

    def _park(self, look: Look, now: float, *, answered: bool) -> None:
        if not may_be_parked(look):
            return
        self._stops_before = self._stops.count(self._pids())
        if sockets.is_blocking(self.sock) and not self._reader_sleeps():
            return
        if not sockets.set_mark(self.sock, sockets.PARKED):
            self.leave()  # it is capped: what comes would wake the process
            return
        after = sockets.look(self.sock)
        blocks = sockets.is_blocking(self.sock)
        if slipped_in(look, after) or (blocks and not self._reader_sleeps()):
            self._wake_process()
            self._rest.begin(now)
            return
        self._parking, self.state = (
            Parking.begin(after, answered=answered),
            State.PARKED,
        )

    def _look_at_parked(self, now: float) -> None:
        assert self._parking is not None
        look = sockets.look(self.sock)
        self.settled = self._parking.is_settled(look)
        match self._parking.look(look):
            case Step.GIVE_BACK:
                self._give_back(now, slept=self._slept(look))
            case Step.JUDGE:
                verdict, head = self._judge()
                if verdict is Verdict.REQUEST and head is not None and fits(head):
                    self._take(head)
                elif head is not None and self._take_large(head, look):
                    pass
                elif verdict is Verdict.FOREIGN:
                    self._wake_process()
                    self.leave()
                else:
                    self._give_back(now, slept=self._slept(look))
            case Step.WAIT:
                if self._large:
                    self._wait_for_large(look, now)

    def _slept(self, look: Look) -> bool:
        """Return whether a reader sleeps since before its connection was parked.

        One that was woken, by a full window, has read when it sleeps again.
        """
        assert self._parking is not None
        if self._stops.count(self._pids()) != self._stops_before:
            return False
        sleeps = look.position == self._parking.position and self._reader_sleeps()
        return sleeps and sockets.look(self.sock).position == self._parking.position

    def _pids(self) -> set[int]:
        return {pid for pid, _ in self.holders}

    def _wait_for_large(self, look: Look, now: float) -> None:
        """Stop the process of a client that sends large bodies, right after an answer.

        It must not be asked to read: a thread that sleeps in recv(2) would be woken by
        the stop, if something had come.
        """
        assert self._parking is not None
        if self._stopped is not None:
            self._check_at = now  # look again in the next round
            if now >= self._stopped_until:
                self._let_go_on()
        elif self._parking.answered(look) and look.silent_s < RECENT_S:
            self._stop(now)

    def _stop(self, now: float) -> None:
        self._stopped = self._stops.stop(self._pids())
        self._stopped_until = now + NEXT_S
        self._check_at = now

    def _let_go_on(self) -> None:
        if self._stopped is not None:
            self._stopped.end()
            self._stopped = None

    def _reader_sleeps(self) -> bool:
        return any(holders.sleeps_in_recv(each) for each in self.holders)

    def _judge(self) -> tuple[Verdict, Head | None]:
        flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
        try:
            waiting = self.sock.recv(heads.LARGEST_HEAD_BYTES, flags)
        except BlockingIOError:  # its process was faster
            return Verdict.PARTIAL, None
        return heads.judge(waiting)

    def _give_back(self, now: float, *, slept: bool = False) -> None:
        self._let_go_on()
        small = sockets.unread(self.sock) <= sockets.LARGEST_WHOLE_BYTES
        self._wake_process(slept=slept)
        self._counts.given_back += 1
        if small:  # it may be all that was missing: be there before the answer is
            self.hurries_until = now + HURRY_S
        else:
            self._rest.begin(now)
        self.state, self._parking, self.settled = State.FREE, None, False
        if small:
            self._hurry()

    def _hurry(self) -> None:
        """Park it again as soon as its process has read what was missing.

        A client that never pauses sends its next request right after the answer.
        """
        now = clock.monotonic()
        until = now + (SPIN_S if sockets.is_blocking(self.sock) else SPIN_S / 2)
        while self.state is State.FREE and not self._reader_has_mark and now < until:
            self._look_at_free(now, 0.0)
            now = clock.monotonic()

    def _wake_process(self, *, slept: bool = False) -> None:
        """Let the process be woken again; its reader *slept* since before the mark."""
        sockets.clear_mark(self.sock)
        self._reader_has_mark = sockets.is_blocking(self.sock) and not slept
        look = sockets.look(self.sock)
        self._written_before = look.written
        self._free_reader(look)

    def _free_reader(self, look: Look) -> None:
        """Let a reader return that may sleep until as much has come as its mark said.

        One that was on its way into recv(2) sleeps a moment later, and is found then; one
        that has answered since has returned from there.
        """
        if look.written != self._written_before or not sockets.is_blocking(self.sock):
            self._reader_has_mark = False
        for holder in self.holders:
            if self._reader_has_mark and holders.sleeps_in_recv(holder):
                self._reader_has_mark = not self._stops.interrupt(holder[0])

    # --- its next request -------------------------------------------------------------

    def _take(self, head: Head, stopped: Stopped | None = None) -> None:
        self.exchange = Exchange(self._selector, self.sock, head, stopped)
        self.state, self.settled = State.TAKEN, False
        self.exchange.advance()  # on this host it is connected by now

    def _take_large(self, head: Head, seen: Look, *, asleep: bool = True) -> bool:
        """Take a request whose body could wake its process, which is stopped for it.

        Returns whether that was possible.  A reader that is *asleep* in recv(2) would
        read when it is stopped.
        """
        if head.upgrades or head.body_bytes is None:
            return False
        if head.body_bytes > MOST_BODY_BYTES:
            return False
        self._large = True
        if self._stopped is None:
            if asleep and sockets.is_blocking(self.sock):
                return False  # it would read now; the next time it is stopped before
            self._stop(0.0)
        look = sockets.look(self.sock)
        if self._stopped is None or not self._stopped.complete:
            return False
        if look.position != seen.position or look.written != seen.written:
            return False  # it was woken before
        stopped, self._stopped = self._stopped, None
        try:
            self._take(head, stopped)
        except OSError:
            stopped.end()
            raise
        return True

    def tick(self, now: float, *, held: bool) -> None:
        """Let an exchange go on, and end with it.  Raises OSError."""
        if self.exchange is None:
            return
        self.exchange.tick(now)
        outcome = self.exchange.outcome
        if outcome is None:
            return
        self.exchange = None
        if outcome is Outcome.REFUSED and held:
            self._give_back(now)
            return
        if outcome is not Outcome.REFUSED:
            self._count_taken()
        lost = outcome in (Outcome.REFUSED, Outcome.CUT)
        self.end(cut=lost)

    # --- without its process ----------------------------------------------------------

    def was_let_go(self, now: float, *, ending: bool) -> None:
        """Go on without the process, or end: it has closed the connection.

        It is *ending* since we asked for it: what it closes then was not its wish.
        """
        if self.state is State.TAKEN:
            return
        look = sockets.look(self.sock)
        answered = look.position == self._position
        if self._parking is not None:
            at_head = look.position == self._parking.position
            answered = at_head and self._parking.answered(look)
        if look.unread and answered:
            verdict, head = self._judge()
            if verdict is Verdict.REQUEST and head is not None:
                self._be_alone(now)
                self._take(head)
                return
        if ending and answered and look.is_open and look.silent_s >= QUIET_S:
            self._be_alone(now)
            self._count_taken()
            self._selector.register(self.sock, selectors.EVENT_READ, self._woken)
            return
        self.end()

    def _be_alone(self, now: float) -> None:
        sockets.clear_mark(self.sock)
        self.state, self._parking, self._alone_since = State.ALONE, None, now

    def _woken(self) -> None:
        """Look from now on in each round: something has come."""
        self._selector.unregister(self.sock)
        self._asked_since = clock.monotonic()

    def look_alone(self, now: float, limit_s: float) -> None:
        """Take the next request of a connection that is held alone, or end it.

        Raises OSError.
        """
        if self.state is not State.ALONE:
            return
        if self._asked_since is None:
            if now >= self._alone_since + limit_s:
                self.end()
            return
        verdict, head = self._judge()
        if verdict is Verdict.REQUEST and head is not None:
            self._take(head)
        elif verdict is Verdict.FOREIGN or now >= self._asked_since + HEAD_S:
            self.end()  # or its client has closed it

    def _count_taken(self) -> None:
        if not self._is_counted:
            self._is_counted = True
            self._counts.taken += 1

    # --- its end ----------------------------------------------------------------------

    def fail(self) -> None:
        """Let go of it after an error: its process goes on, unless it was taken."""
        if self.state in (State.FREE, State.PARKED):
            with contextlib.suppress(OSError):
                self._wake_process()
            self._drop()
        elif self.state is not State.OVER:
            self.end(cut=self.state is State.TAKEN)

    def leave(self) -> None:
        """Leave it to its process for good."""
        self.foreign = True
        self._drop()

    def end(self, *, cut: bool = False) -> None:
        """Close it, also in the process, which sees the end of the stream."""
        self._counts.cut += cut
        with contextlib.suppress(OSError):  # its peer is gone
            self.sock.shutdown(socket.SHUT_RDWR)
        self._drop()

    def _drop(self) -> None:
        self._let_go_on()
        if self._selector.get_map().get(self.sock) is not None:
            self._selector.unregister(self.sock)
        self.sock.close()
        self.state = State.OVER


def fits(head: Head) -> bool:
    """Return whether a request wakes no process, however late the relay reads it."""
    if head.body_bytes is None or head.upgrades:
        return False
    return len(head.raw) + head.body_bytes <= sockets.LARGEST_WHOLE_BYTES
