"""One connection of a process that is to end: left to it, parked, or taken.

    FREE     the process serves it; it is looked at
    PARKED   what comes does not wake the process
    TAKEN    an exchange carries its next request
    OVER     nothing is held any more, or it is held alone (`alone`)

Rule: a duplicate must not keep open what its process has closed.  A client that waits for
the end of an answer sees it when the process closes, or within one tick.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from enum import Enum

from gapless.base import clock
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.alone import Alone
from gapless.supervisor.relay.attention import Attention, Counts, Pace
from gapless.supervisor.relay.http.exchange import Exchange, Outcome
from gapless.supervisor.relay.http.heads import Head, Verdict
from gapless.supervisor.relay.http.peek import fits, peek
from gapless.supervisor.relay.large import RECENT_S, Large
from gapless.supervisor.relay.parking import (
    QUIET_S,
    SHORT_QUIET_S,
    Course,
    Look,
    Parking,
    Step,
    may_be_parked,
    slipped_in,
)
from gapless.supervisor.relay.reader import Reader
from gapless.supervisor.relay.stopped import Stopped, Stops

CHECK_S = 0.02
"""How often it is looked at whether a quiet connection is held, open and settled."""
MOST_AT_ONCE_BYTES = 1024
"""No program has a smaller buffer for what it reads at once (nginx: 1 KiB)."""
WHOLE_S, LATE_S = 1.0, 0.1
"""A request that is not whole is waited for as long as its pieces come so fast; one whose
client waits for `100 Continue`, for as long as an event loop may be late."""


class State(Enum):
    """What is done with a connection."""

    FREE = "free"
    PARKED = "parked"
    TAKEN = "taken"
    OVER = "over"


class Connection:
    """A duplicate of a connection, and what is known of it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sock: socket.socket,
        inode: int,
        counts: Counts,
        stops: Stops,
        *,
        pace: Pace,
    ) -> None:
        self._selector, self.sock, self.inode = selector, sock, inode
        self._counts, self._pace = counts, pace
        self.attention = Attention(pace)
        self.reader = Reader(sock, inode, stops)
        self.state = State.FREE
        self.settled = False
        """Nothing is under way, so that its process may end."""
        self.unwanted = False
        """Its process keeps it, or it is at its end: it is not looked for again."""
        self.exchange: Exchange | None = None
        self._parking: Parking | None = None
        self._course = Course()
        self._check_at = 0.0
        self.alone: Alone | None = None
        """It is held without its process now."""
        self._large = Large(sock, self.reader)
        self._position = -1
        """Up to where its process had read when nothing was owed, while it is free."""
        self.silent_s = 0.0
        self._unread = 0
        """How many bytes waited at the last look while it is parked."""
        self.waits = False
        """Its next request has come, and waits for somebody who accepts."""
        self._settled_at = -1
        """How much its process had written when it was settled at once."""
        self._read: tuple[Head, bytes] | None = None
        """A request that was read, and waits here: its process would read it at its end."""

    def mend(self) -> None:
        """Undo what a relay before this one has left."""
        match sockets.mark_of(self.sock):
            case sockets.PARKED:
                self.reader.wake()
            case sockets.TAKEN:  # a request of it was read, and nobody answers it
                self.end(cut=True)
            case 1:
                pass
            case _:
                self.leave()  # the program has set a mark of its own

    # --- while its process lives ------------------------------------------------------

    def is_parked_in_focus(self, now: float) -> bool:
        """Return whether it is parked, was busy a moment ago, and has no request yet."""
        is_parked = self.state is State.PARKED and not self.waits
        return is_parked and self.attention.is_in_focus(now)

    def has_changed(self) -> bool:
        """Return whether other bytes wait than at the last look.  Raises OSError."""
        return sockets.unread(self.sock) != self._unread

    def is_due(self, now: float, patience_s: float) -> bool:
        """Return whether a look may show anything new."""
        if self.state is State.PARKED:
            if now >= self._check_at:
                return True
            return not self.waits and (self._unread > 0 or self.has_changed())
        if self.state is State.FREE and (patience_s or not self.attention.is_free()):
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
        self.silent_s = look.silent_s
        self._large.note(look, now)
        self._position = look.position if look.idle and look.steady else -1
        answered = self._course.look(look)
        waits = answered and look.unread and not look.unsent
        if not self.attention.begin(now, look.silent_s):
            return
        takes = not (patience_s or self._pace.holds)
        if waits and takes and self._take_waiting(look):
            return
        if self.reader.may_have_mark:
            self.reader.free(look)
        elif now >= self.attention.rest.until and look.silent_s >= patience_s:
            self._park(look, now, answered=answered)

    def _take_waiting(self, look: Look) -> bool:
        """Take a request that waits for a busy process; return whether that was possible.

        The process may read at the same time.  It gets all of a small request or nothing;
        for a larger one it is stopped, and then has read nothing or something.
        """
        _, head = peek(self.sock)
        if head is None:
            return False
        length = len(head.raw) + (head.body_bytes or 0)
        if fits(head) and length <= look.unread <= MOST_AT_ONCE_BYTES:
            self._take(head, look.position)
            return True
        if self._take_large(head, look, asleep=False):
            return True
        self.reader.go_on()
        return False

    def _park(self, look: Look, now: float, *, answered: bool) -> None:
        if not may_be_parked(look):
            return
        if not self.reader.sleeps():
            return
        if not self.reader.park():
            self.reader.wake()  # it is capped: enough of what comes would wake it
            self.leave()
            return
        after = sockets.look(self.sock)
        if slipped_in(look, after) or not self.reader.sleeps():
            self.reader.wake()
            self.attention.rest.begin(now, longest=not self._pace.at_once)
            return
        self._parking = Parking.begin(after, answered=answered)
        self.state, self._unread = State.PARKED, after.unread
        if self._large.seen and self.reader.is_blocking():
            self._wait_for_large(after, now)

    def _look_at_parked(self, now: float) -> None:
        assert self._parking is not None
        if self._read is not None:
            self._look_at_read()
            return
        look = sockets.look(self.sock)
        self._unread, self.waits = look.unread, False
        quiet_s = SHORT_QUIET_S if self._pace.at_once else QUIET_S
        self.settled = self._parking.is_settled(look, quiet_s)
        if self.settled:
            self._settled_at = look.written
        self._course.look(look)
        match self._parking.look(look):
            case Step.GIVE_BACK:
                self._give_back(now, look)
            case Step.JUDGE if self._pace.holds:
                self._hold(now, look)
            case Step.JUDGE:
                verdict, head = peek(self.sock)
                if head is not None and fits(head):
                    self._take_whole(head, look, now)
                elif head is not None and self._take_large(head, look):
                    pass
                elif verdict is Verdict.FOREIGN and self._is_at(look.position):
                    self.reader.wake()
                    self.leave()
                else:
                    if head is not None:
                        self._expect_its_end(head, look)
                    self._give_back(now, look)
            case Step.WAIT:
                if self._large.seen:
                    self._wait_for_large(look, now)

    def _hold(self, now: float, look: Look) -> None:
        """Leave a request where it is, if it wakes no process however long it waits."""
        verdict, head = peek(self.sock)
        if head is not None and fits(head) and not head.expects:
            length = len(head.raw) + (head.body_bytes or 0)
            if not self.reader.is_blocking():
                self.settled, self._settled_at = True, look.written
                self.waits = True
            elif length <= look.unread:
                self._read_now(head, look, length)
            elif look.silent_s > WHOLE_S:
                self._give_back(now, look)
            else:
                self._check_at = now
        elif verdict is Verdict.FOREIGN and self._is_at(look.position):
            self.reader.wake()
            self.leave()
        else:
            self._give_back(now, look)

    def _read_now(self, head: Head, look: Look, length: int) -> None:
        """Read a whole request: a thread that sleeps in recv(2) does at a signal."""
        self.settled = self._is_at(look.position) and sockets.set_mark(
            self.sock, sockets.TAKEN
        )
        if not self.settled:
            return
        self.waits = True
        found = self.sock.recv(length, socket.MSG_DONTWAIT)
        self._read = head, found
        if not (found.startswith(head.raw) and self._is_at(look.position + length)):
            self.end(cut=True)  # its process has read as well: neither has the whole

    def _look_at_read(self) -> None:
        """Carry what was read as soon as somebody accepts it.  Raises OSError."""
        assert self._read is not None
        if not self._pace.holds:
            head, found = self._read
            position = sockets.position(self.sock) or 0
            self._take(head, position, found=found)

    def _expect_its_end(self, head: Head, look: Look) -> None:
        """Note where a request ends that goes to its process."""
        if head.body_bytes is None or head.expects or head.upgrades:
            return
        if self._is_at(look.position):
            end = look.position + len(head.raw) + head.body_bytes
            self._course.expect(end, look.written)

    def _take_whole(self, head: Head, look: Look, now: float) -> None:
        """Take a small request when it is whole: in one call, so nobody gets a part.

        A thread in recv(2) reads what has come whenever its process is stopped, as is
        done for other connections of it.  An event loop may be late: it has answered, and
        reads once more before it sleeps.
        """
        length = len(head.raw) + (head.body_bytes or 0)
        blocks, lasts_s = self.reader.is_blocking(), LATE_S if head.expects else WHOLE_S
        if length <= look.unread:
            self._take(head, look.position)
        elif look.silent_s <= lasts_s and not (blocks and head.expects):
            self._check_at = now
        elif blocks:
            self._give_back(now, look)
        else:
            self._take(head, look.position)

    def _wait_for_large(self, look: Look, now: float) -> None:
        """Stop the process of a client that sends large bodies, right after an answer."""
        assert self._parking is not None
        begins_next = self._parking.answered(look) and look.silent_s < RECENT_S
        if self._large.wait(now, begins_next=begins_next):
            self._check_at = now  # look again in the next round

    def _give_back(self, now: float, look: Look | None = None) -> None:
        """Leave what has come to its process; *look* shows it, if it was parked."""
        self.reader.go_on()
        slept = (
            look is not None
            and self._parking is not None
            and self.reader.has_slept(look, self._parking.position)
        )
        small = sockets.unread(self.sock) <= sockets.LARGEST_WHOLE_BYTES
        self.reader.wake(slept=slept)
        self.waits = False
        self._counts.given_back += 1
        self.state, self._parking, self.settled = State.FREE, None, False
        if self.attention.give_back(now, small=small):
            self._hurry()  # it may be all that was missing: be there before the answer is

    def _hurry(self) -> None:
        """Park it again as soon as its process has read what was missing.

        A client that never pauses sends its next request right after the answer.
        """
        began = now = clock.monotonic()
        until = now + self.attention.spin_s(blocks=self.reader.is_blocking())
        while self.state is State.FREE and now < until:
            if self.reader.may_have_mark:
                break
            self._look_at_free(now, 0.0)
            now = clock.monotonic()
        self._pace.spin_s -= now - began

    # --- its next request -------------------------------------------------------------

    def _is_at(self, position: int) -> bool:
        """Return whether its process has read nothing since it was at a position.

        A parked one may be woken between a look and what was judged by it.
        """
        return sockets.position(self.sock) == position

    def _take(
        self,
        head: Head,
        position: int,
        stopped: Stopped | None = None,
        found: bytes = b"",
    ) -> None:
        self.exchange = Exchange(
            self._selector,
            self.sock,
            head,
            position=position,
            stopped=stopped,
            found=found,
        )
        self.state, self.settled = State.TAKEN, False
        self.exchange.advance()  # on this host it is connected by now

    def _take_large(self, head: Head, seen: Look, *, asleep: bool = True) -> bool:
        """Take a request whose body could wake its process, which is stopped for it.

        Returns whether that was possible.
        """
        if not self._large.part(head, seen, asleep=asleep):
            return False
        stopped = self.reader.hand_over()
        try:
            self._take(head, seen.position, stopped)
        except OSError:
            if stopped is not None:
                stopped.end()
            raise
        return True

    def tick(self, now: float) -> None:
        """Let an exchange go on, and end with it.  Raises OSError."""
        if self.exchange is None:
            return
        self.exchange.tick(now)
        outcome = self.exchange.outcome
        if outcome is None:
            return
        self._abandon_exchange()
        if outcome is Outcome.REFUSED:
            self._give_back(now)
        else:
            self._counts.taken += 1
            self.end(cut=outcome is Outcome.CUT)

    def _abandon_exchange(self) -> None:
        """Let go of an exchange; its process stands still until this connection ends."""
        if self.exchange is not None:
            self.reader.stopped, self.exchange = self.exchange.abandon(), None

    # --- without its process ----------------------------------------------------------

    def was_let_go(self, *, ending: bool) -> None:
        """Hold it alone, or end it: its process has closed it.  Raises OSError.

        That is *ending* since we asked for it: what it closes then was not its wish.
        """
        if self.state is State.OVER:
            return
        if self.state is State.TAKEN:
            self._be_alone(
                Alone(self._selector, self.sock, self._counts, self.exchange)
            )
            return
        if self._read is not None:
            read = self._read
            self._be_alone(Alone(self._selector, self.sock, self._counts, read=read))
            return
        look, position = sockets.look(self.sock), sockets.position(self.sock)
        untouched = position == 0 and not look.written
        answered = untouched or position == self._position
        if self._parking is not None:
            at_head = position == self._parking.position
            answered = at_head and self._parking.answered(look)
        _, head = peek(self.sock) if look.unread and answered else (None, None)
        rests = look.silent_s >= QUIET_S or (
            self._pace.at_once and look.written == self._settled_at
        )
        if head is not None and not self._pace.holds:
            alone = Alone.asked(self._selector, self.sock, self._counts, head)
            self._be_alone(alone)
        elif head is not None or (ending and answered and look.is_open and rests):
            self._be_alone(Alone(self._selector, self.sock, self._counts))
        else:
            self.end()

    def _be_alone(self, alone: Alone) -> None:
        self.alone, self.exchange, self.state = alone, None, State.OVER

    # --- its end ----------------------------------------------------------------------

    def fail(self) -> None:
        """Let go of it after an error: its process goes on, unless it was taken."""
        if self.state in (State.FREE, State.PARKED) and self._read is None:
            with contextlib.suppress(OSError):
                self.reader.wake()
            self._drop()
        elif self.state is not State.OVER:
            self.end(cut=self.state is State.TAKEN or self._read is not None)

    def leave(self) -> None:
        """Leave it to its process for good."""
        self.unwanted = True
        self._drop()

    def end(self, *, cut: bool = False) -> None:
        """Close it, also in the process, which sees the end of the stream.

        It must see nothing else: what is left of a body that was not read to its end could
        look like a request.
        """
        self._counts.cut += cut
        self.unwanted = True
        self._abandon_exchange()
        with contextlib.suppress(OSError):  # its peer is gone
            if sockets.mark_of(self.sock) == sockets.TAKEN:
                self.reader.stop()
                sockets.shut(self.sock)
            else:
                self.sock.shutdown(socket.SHUT_RDWR)
            sockets.clear_mark(self.sock)
        self._drop()

    def _drop(self) -> None:
        self.reader.go_on()
        if self.sock.fileno() in self._selector.get_map():
            self._selector.unregister(self.sock)
        self.sock.close()
        self.state = State.OVER
