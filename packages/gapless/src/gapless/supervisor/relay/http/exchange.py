"""One exchange on a connection that was taken, the last one there.

Its request goes to the generation that serves now, and the answer comes back.

Rule 1: a request is sent once.  Nothing of it is read before the new generation has taken
the connection; once a byte was read, a failure is a close.
Rule 2: what begins like a request may be the middle of a body.  It is read only where it
was judged: at the same position, before and after.
Rule 3: what waits in this process is bounded: who writes faster than the other side reads
has to wait.
Rule 4: the program's connection ends with its answer: it may have a thread for each.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from enum import Enum

from gapless.base import clock
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.http.answer import Answer
from gapless.supervisor.relay.http.buffer import Buffer, Linger
from gapless.supervisor.relay.http.heads import Head
from gapless.supervisor.relay.http.request import Request
from gapless.supervisor.relay.stopped import Stopped

BUFFER_BYTES = 256 << 10
MOST_TURNS = 16
"""After so many pieces the other connections have their turn."""
CONNECT_S = 5.0
STALL_S = 10.0
"""How long a client may read nothing once its answer waits here alone."""
LONGEST_TURN_S = 0.005
GONE_CHECK_S = 0.25
"""How often the client is looked for while its answer is waited for."""


SOURCES: set[tuple[str, int]] = set()
"""What programs see as the addresses of the exchanges that this process carries."""


class Outcome(Enum):
    """How an exchange has ended."""

    ANSWERED = "answered"
    REFUSED = "refused"  #: nothing of its request was read
    CUT = "cut"  #: its client has no whole answer
    LEFT = "left"  #: its client went away


class Exchange:
    """Passes one request on, and its answer back."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        client: socket.socket,
        head: Head,
        *,
        position: int | None = None,
        stopped: Stopped | None = None,
        found: bytes = b"",
    ) -> None:
        """Begin to connect.  Raises OSError.

        *position* is where the head begins, if somebody else holds the connection;
        *stopped* is its process, if that stands still.  *found* was read of it before.
        """
        self._found = found
        self.stopped = stopped
        self._selector, self._client = selector, client
        self.outcome: Outcome | None = None
        """None while it is under way."""
        self._request = Request(head)
        self._is_shared = position is not None and stopped is None
        """Somebody else might read the request as well."""
        self._client_ended = self._said_end = False
        """The client has ended its half; the program was told the end of the request."""
        self._answer = Answer(head.request)
        self._to_program, self._to_client = Buffer(), Buffer()
        self._program_closed = self._program_failed = False
        self._linger: Linger | None = None
        self._until = clock.monotonic() + CONNECT_S
        self._look_at = clock.monotonic() + GONE_CHECK_S
        self._moved_at = clock.monotonic()
        self._read = position or 0
        """Up to where the client's bytes were read, by its process and here."""
        self._program = sockets.connect_as(client)
        self.source = self._program.getsockname()[:2]
        SOURCES.add(self.source)
        self._connecting = True
        self._watch(self._program, selectors.EVENT_WRITE)

    # --- what moves it ----------------------------------------------------------------

    def advance(self) -> None:
        """Move what can be moved now."""
        if self.outcome is not None:
            return
        try:
            if self._connecting:
                self._connect()
            elif self._linger is None:
                self._pass_on()
            elif self._linger.is_over(clock.monotonic()):
                self._end(Outcome.ANSWERED)
        except OSError:
            self._fail()
        if self.outcome is None:
            self._update_interest()

    def tick(self, now: float) -> None:
        """Do what no descriptor tells of: bytes of a marked connection, and time."""
        if self.outcome is not None:
            return
        if self._is_overdue(now):
            self._end(Outcome.CUT)
        elif self._connecting:
            if now >= self._until:
                self._end(Outcome.REFUSED)
        elif self._linger is not None or self._reads_client():
            self.advance()
        if now >= self._look_at and self.outcome is None:
            self._look_at = now + GONE_CHECK_S
            self._look()

    def _look(self) -> None:
        """End if the client is gone, or if its process has read of the request too."""
        if self._connecting or self._linger is not None:
            return
        if not sockets.may_read(self._client):
            self._end(Outcome.LEFT)
        elif self._is_shared and self._reads_client() and not self._answer.switched:
            look = sockets.look(self._client)
            if look.steady and look.is_open and look.position != self._read:
                self._end(Outcome.CUT)

    # --- its phases -------------------------------------------------------------------

    def _connect(self) -> None:
        if self._program.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._end(Outcome.REFUSED)
            return
        try:
            self._program.getpeername()
        except OSError:
            return  # not yet
        self._connecting = False
        if not sockets.set_mark(self._client, sockets.TAKEN):
            self._end(Outcome.REFUSED)
            return
        outcome = self._begin_to_read()
        if outcome is None:
            self._pass_on()
        else:
            self._end(outcome)

    def _begin_to_read(self) -> Outcome | None:
        """Read the request's head; return how the exchange ends if that failed.

        What has come of its body is read by the same call: a process that was woken
        before has all of it, or nothing.
        """
        if self._found:
            self._begin_with(self._found)
            return None
        if self._is_shared and sockets.position(self._client) != self._read:
            return Outcome.REFUSED  # its process was faster
        raw, at_once = self._request.head.raw, socket.MSG_DONTWAIT
        length = len(raw) + (self._request.head.body_bytes or 0)
        try:
            if self._client.recv(len(raw), at_once | socket.MSG_PEEK) != raw:
                return Outcome.REFUSED  # its process was faster
            found = self._client.recv(min(length, len(raw) + BUFFER_BYTES), at_once)
        except BlockingIOError:
            return Outcome.REFUSED
        except OSError:
            return Outcome.LEFT
        self._read += len(found)
        if not found.startswith(raw):
            return Outcome.CUT  # its process has read as well: neither has the whole
        if self._is_shared and sockets.position(self._client) not in (None, self._read):
            return Outcome.CUT  # the same
        self._begin_with(found)
        return None

    def _begin_with(self, found: bytes) -> None:
        """Pass on what was read of the request."""
        length = len(self._request.head.raw)
        self._to_program.add(self._request.first())
        if len(found) > length:
            self._take_in(found[length:])

    def _pass_on(self) -> None:
        until = clock.monotonic() + LONGEST_TURN_S
        for _ in range(MOST_TURNS):
            moved = self._read_client()
            moved |= self._write_program()
            moved |= self._read_program()
            moved |= self._write_client()
            if self.outcome is not None:
                return
            if (self._answer.whole or self._program_closed) and not self._to_client:
                self._begin_to_linger()
                return
            if not moved:
                return
            self._moved_at = clock.monotonic()
            if self._moved_at >= until:
                return

    def _reads_client(self) -> bool:
        """Return whether more of the request, or of a tunnel, is waited for."""
        if self._client_ended or self._program_closed:
            return False
        return self._answer.switched or not (
            self._request.whole or self._request.broken
        )

    def _read_client(self) -> bool:
        if not self._reads_client():
            return False
        if self._to_program.size >= BUFFER_BYTES and self.stopped is None:
            return False
        tunnel = self._answer.switched
        most = BUFFER_BYTES if tunnel else self._request.most(BUFFER_BYTES)
        try:
            piece = self._client.recv(most, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            self._end(Outcome.LEFT)
            return False
        self._client_ended = not piece
        self._read += len(piece)
        self._take_in(piece)
        return True

    def _take_in(self, piece: bytes) -> None:
        """Take in what the client has sent."""
        tunnel = self._answer.switched
        self._to_program.add(piece if tunnel else self._request.feed(piece))
        if self._request.whole and self.stopped is not None:
            self.stopped.end()
            self.stopped = None

    def _is_overdue(self, now: float) -> bool:
        """Return whether a body takes too long, or a client does not read its answer."""
        if self.stopped is not None and now >= self.stopped.until:
            return True
        return self._program_closed and now >= self._moved_at + STALL_S

    def _write_program(self) -> bool:
        if self.outcome is not None or self._program_closed:
            return False
        if not self._to_program:
            self._say_end()
            return False
        try:
            return self._to_program.send(self._program)
        except (BrokenPipeError, ConnectionResetError):
            # It may have answered before it closed: an early answer is an answer.
            self._to_program.drop()
            self._client_ended = self._said_end = True
            return False

    def _say_end(self) -> None:
        """Tell the program that no more of an unfinished request, or a tunnel, comes."""
        unfinished = self._client_ended and (
            self._answer.switched or not self._request.whole
        )
        if (unfinished or self._request.broken) and not self._said_end:
            self._said_end = True
            self._program.shutdown(socket.SHUT_WR)

    def _read_program(self) -> bool:
        if self.outcome is not None or self._program_closed:
            return False
        if self._to_client.size >= BUFFER_BYTES:
            return False
        try:
            piece = self._program.recv(BUFFER_BYTES)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            piece, self._program_failed = b"", True
        if not piece:
            self._program_closed = True
            self._to_program.drop()
            self._to_client.add(self._answer.end(failed=self._program_failed))
            return False
        self._to_client.add(self._answer.feed(piece))
        return True

    def _write_client(self) -> bool:
        if self.outcome is not None:
            return False
        try:
            return self._to_client.send(self._client)
        except OSError:
            self._end(Outcome.LEFT)
            return False

    # --- its end ----------------------------------------------------------------------

    def _begin_to_linger(self) -> None:
        if not self._answer.began:
            self._end(Outcome.CUT)
            return
        self._close_program()
        if self._program_failed and not self._answer.whole:
            # The client must not take what it has for all of it.
            with contextlib.suppress(OSError):
                sockets.reset(self._client)
                self._end(Outcome.CUT)
                return
        self._linger = Linger(self._client, clock.monotonic())
        self.advance()

    def abandon(self) -> Stopped | None:
        """End it as it is; return the process that stands still for it, if one does."""
        if self.outcome is None:
            self._end(Outcome.CUT)
        stopped, self.stopped = self.stopped, None
        return stopped

    def _fail(self) -> None:
        """End after an error of either side."""
        if self._connecting:
            self._end(Outcome.REFUSED)
        else:
            self._end(Outcome.ANSWERED)

    def _end(self, outcome: Outcome) -> None:
        if outcome is Outcome.ANSWERED and not self._answer.whole:
            outcome = Outcome.CUT
        if outcome is Outcome.REFUSED and self._found:
            outcome = Outcome.CUT  # nobody can be given it
        self.outcome = outcome
        self._close_program()
        self._watch(self._client, 0)

    def _close_program(self) -> None:
        SOURCES.discard(self.source)
        if self._program.fileno() != -1:
            self._watch(self._program, 0)
            self._program.close()

    # --- what it waits for ------------------------------------------------------------

    def _update_interest(self) -> None:
        if self._connecting:
            return
        reads, writes = selectors.EVENT_READ, selectors.EVENT_WRITE
        self._watch(self._client, writes if self._to_client else 0)
        if self._linger is not None:
            return
        wanted = writes if self._to_program else 0
        if not self._program_closed and self._to_client.size < BUFFER_BYTES:
            wanted |= reads
        self._watch(self._program, wanted)

    def _watch(self, sock: socket.socket, events: int) -> None:
        known = self._selector.get_map().get(sock.fileno())
        if events and known is None:
            self._selector.register(sock, events, self.advance)
        elif events and known is not None:
            if known.events != events:
                self._selector.modify(sock, events, self.advance)
        elif known is not None:
            self._selector.unregister(sock)
