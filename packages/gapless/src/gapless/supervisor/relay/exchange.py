"""One exchange on a connection that was taken, the last one there.

Its request goes to the generation that serves now, and the answer comes back.

Rule 1: a request is sent once.  Nothing of it is read before the new generation has taken
the connection; once a byte was read, a failure is a close.
Rule 2: what waits in this process is bounded: who writes faster than the other side reads
has to wait.
Rule 3: a connection is closed for writing, read to its end, then closed: a close with
unread bytes would reset it, and could destroy the answer (RFC 9112, 9.6).
"""

from __future__ import annotations

import selectors
import socket
from enum import Enum

import h11

from gapless.base import clock
from gapless.supervisor.relay import sockets
from gapless.supervisor.relay.answer import Answer
from gapless.supervisor.relay.buffer import Buffer
from gapless.supervisor.relay.heads import Head, as_the_last
from gapless.supervisor.relay.stopped import Stopped

BUFFER_BYTES = 256 << 10
CONNECT_S, LINGER_S = 5.0, 2.0
MOST_LINGER_BYTES = 4 << 20
LONGEST_STOP_S = 1.0
"""A body that takes longer comes so slowly that it is always read in time."""
GONE_CHECK_S = 0.25
"""How often the client is looked for while its answer is waited for."""
_ESTABLISHED, _CLOSE_WAIT = 1, 8


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
        stopped: Stopped | None = None,
    ) -> None:
        """Begin to connect; *stopped* is the client's process, if that may not read.

        Raises OSError.
        """
        self._stopped = stopped
        self._stopped_until = clock.monotonic() + LONGEST_STOP_S
        self._selector, self._client, self._head = selector, client, head
        self.outcome: Outcome | None = None
        """None while it is under way."""
        self._request: h11.Connection | None = None
        self._body_left = head.body_bytes
        self._request_read = False
        self._answer = Answer(head.request)
        self._to_program, self._to_client = Buffer(), Buffer()
        self._program_closed = self._lingers = False
        self._until = clock.monotonic() + CONNECT_S
        self._look_at = 0.0
        self._lingered = 0
        local = client.getsockname()
        self._program = socket.socket(client.family, socket.SOCK_STREAM)
        try:
            self._program.setblocking(False)
            self._program.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # From our own address to itself: a request gains no trust on its way.
            self._program.bind((local[0], 0, *local[2:]))
            self._program.connect_ex(local)
            self.source = self._program.getsockname()[:2]
        except OSError:
            self._program.close()
            raise
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
            elif self._lingers:
                self._linger()
            else:
                self._pass_on()
        except OSError:
            self._fail()
        if self.outcome is None:
            self._update_interest()

    def tick(self, now: float) -> None:
        """Do what no descriptor tells of: bytes of a marked connection, and time."""
        if self.outcome is not None:
            return
        if self._stopped is not None and now >= self._stopped_until:
            self._let_go_on()
        if self._connecting or self._lingers:
            if now >= self._until:
                self._end(Outcome.REFUSED if self._connecting else Outcome.ANSWERED)
            elif self._lingers:
                self.advance()
        elif not self._request_read or self._answer.switched:
            self.advance()
        elif now >= self._look_at:
            self._look_at = now + GONE_CHECK_S
            if not self._client_is_there():
                self._end(Outcome.LEFT)

    def _client_is_there(self) -> bool:
        info = self._client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return info[0] in (_ESTABLISHED, _CLOSE_WAIT)

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
        raw = self._head.raw
        at_once = socket.MSG_DONTWAIT
        try:
            if self._client.recv(len(raw), at_once | socket.MSG_PEEK) != raw:
                self._end(Outcome.REFUSED)  # its process was faster
                return
            found = self._client.recv(len(raw), at_once)
        except BlockingIOError:
            self._end(Outcome.REFUSED)
            return
        if found != raw:  # its process has read as well: neither has the whole
            self._end(Outcome.CUT)
            return
        self._request = h11.Connection(
            h11.SERVER, max_incomplete_event_size=len(raw) + 1
        )
        self._follow_request(raw)
        self._to_program.add(raw if self._head.upgrades else as_the_last(raw))
        self._pass_on()

    def _pass_on(self) -> None:
        moved = True
        while moved and self.outcome is None and not self._lingers:
            moved = self._read_client()
            moved |= self._write_program()
            moved |= self._read_program()
            moved |= self._write_client()
            if (self._answer.whole or self._program_closed) and not self._to_client:
                self._begin_to_linger()

    def _read_client(self) -> bool:
        if self._request_read and not self._answer.switched:
            return False
        if self._to_program.size >= BUFFER_BYTES and self._stopped is None:
            return False
        most = BUFFER_BYTES
        if self._body_left and not self._answer.switched:
            most = min(most, self._body_left)
        try:
            piece = self._client.recv(most, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not piece:
            self._request_read = True
            if not self._to_program:
                self._program.shutdown(socket.SHUT_WR)
            return False
        if self._answer.switched:
            self._to_program.add(piece)
            return True
        if self._body_left is not None:
            self._body_left -= len(piece)
        behind = self._follow_request(piece)
        self._to_program.add(piece[: len(piece) - behind] if behind else piece)
        if self._request_read:
            self._let_go_on()
        return True

    def _let_go_on(self) -> None:
        """Let the process go on that was stopped while a large body came."""
        if self._stopped is not None:
            self._stopped.end()

    def _follow_request(self, piece: bytes) -> int:
        """Follow where a request ends; return how many bytes are behind it."""
        parser = self._request
        assert parser is not None
        parser.receive_data(piece)
        try:
            while True:
                event = parser.next_event()
                if isinstance(event, h11.EndOfMessage):
                    self._request_read = True
                    return len(parser.trailing_data[0])
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return 0
        except h11.RemoteProtocolError:
            # The program may judge it: it gets what came, and no more.
            self._request_read = True
            return 0

    def _write_program(self) -> bool:
        if self._program_closed:
            return False
        try:
            return self._to_program.send(self._program)
        except (BrokenPipeError, ConnectionResetError):
            # It may have answered before it closed: an early answer is an answer.
            self._to_program.drop()
            self._request_read = True
            self._let_go_on()
            return False

    def _read_program(self) -> bool:
        if self._program_closed or self._to_client.size >= BUFFER_BYTES:
            return False
        try:
            piece = self._program.recv(BUFFER_BYTES)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            piece = b""
        if not piece:
            self._program_closed = True
            self._to_client.add(self._answer.end())
            return False
        self._to_client.add(self._answer.feed(piece))
        return True

    def _write_client(self) -> bool:
        try:
            return self._to_client.send(self._client)
        except (BrokenPipeError, ConnectionResetError):
            self._end(Outcome.LEFT)
            return False

    # --- its end ----------------------------------------------------------------------

    def _begin_to_linger(self) -> None:
        if not self._answer.began:
            self._end(Outcome.CUT)
            return
        self._watch(self._program, 0)
        self._lingers = True
        self._until = clock.monotonic() + LINGER_S
        self._client.shutdown(socket.SHUT_WR)
        self._linger()

    def _linger(self) -> None:
        while self._lingered < MOST_LINGER_BYTES:
            try:
                piece = self._client.recv(BUFFER_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not piece:
                break
            self._lingered += len(piece)
        self._end(Outcome.ANSWERED)

    def _fail(self) -> None:
        """End after an error of either side."""
        if self._connecting:
            self._end(Outcome.REFUSED)
        elif self._lingers:
            self._end(Outcome.ANSWERED)
        else:
            self._end(Outcome.CUT)

    def _end(self, outcome: Outcome) -> None:
        if outcome is Outcome.ANSWERED and not self._answer.whole:
            outcome = Outcome.CUT
        self.outcome = outcome
        self._let_go_on()
        self._watch(self._program, 0)
        self._watch(self._client, 0)
        self._program.close()

    # --- what it waits for ------------------------------------------------------------

    def _update_interest(self) -> None:
        reads, writes = selectors.EVENT_READ, selectors.EVENT_WRITE
        if self._connecting:
            return
        if self._lingers:
            self._watch(self._client, 0)
            return
        wanted = writes if self._to_program else 0
        if not self._program_closed and self._to_client.size < BUFFER_BYTES:
            wanted |= reads
        self._watch(self._program, wanted)
        self._watch(self._client, writes if self._to_client else 0)

    def _watch(self, sock: socket.socket, events: int) -> None:
        known = self._selector.get_map().get(sock)
        if events and known is None:
            self._selector.register(sock, events, self.advance)
        elif events and known is not None:
            if known.events != events:
                self._selector.modify(sock, events, self.advance)
        elif known is not None:
            self._selector.unregister(sock)
