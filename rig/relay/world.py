"""A model of a client, a process, the kernel and the relay, for tests of parking.

The relay here does what `connection.py` does, one system call at a time, with the real
decisions of `parking.py`.  The client never pipelines.  All bytes look like a request's
head: only the counts tell where one begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gapless.supervisor.kernel import connections
from gapless.supervisor.relay.connection import (
    LATE_S,
    MOST_AT_ONCE_BYTES,
    WHOLE_S,
)
from gapless.supervisor.relay.parking import (
    IDLE_S,
    INTERIM_BYTES,
    Course,
    Look,
    Parking,
    Rest,
    Step,
    may_be_parked,
    slipped_in,
)

MARK = 1 << 21
HEAD_BYTES = 60
MOST_WAITING_LOOKS = 4
MOST_WAKES = 3
LARGE_BYTES = 900
"""A thread that blocks is not parted from so large a request while it sleeps there."""


@dataclass(frozen=True)
class Request:
    """What a client sends, and what a process says to it."""

    pieces: tuple[int, ...]
    expects: bool
    """It waits for `100 Continue` behind the first piece."""
    answer: tuple[int, ...]

    @property
    def length(self) -> int:
        """Return how many bytes it has."""
        return sum(self.pieces)


@dataclass
class World:
    """One connection; `moves` says who can do something."""

    requests: list[Request]
    blocks: bool
    """Its process sleeps in recv(2), else in epoll_wait(2)."""
    buffer_bytes: int
    received: int = 0
    position: int = 0
    seen: int = 0
    """Bytes that the process has got, and not only its system call."""
    written: int = 0
    delivered: int = 0
    acked: int = 0
    now_ms: int = 10_000
    received_ms: int = 0
    sent_ms: int = 0
    mark: int = 1
    awake: bool = False
    """An event loop that is not in epoll_wait(2): it may call recv(2) at any time."""
    target: int | None = None
    """What a blocking reader waits for; None: it is not in recv(2)."""
    outputs: list[int] = field(default_factory=list)
    """How much was written behind each piece of output, to each request."""
    taken: int | None = None
    """Where the request began that the relay has taken."""
    parked: bool = False
    given_back: int = 0
    waiting_looks: int = 0
    asleep_when_taken: bool = False
    is_cut: bool = False
    """The relay and the process have each a part of a request, which is told so."""
    woken: int = 0
    """How often memory pressure or a full window has woken its process in spite of all."""

    # --- what is where ----------------------------------------------------------------

    def __post_init__(self) -> None:
        self.starts = [0]
        for each in self.requests:
            self.starts.append(self.starts[-1] + each.length)
        self.plan: list[tuple[int, int, bool]] = []
        """Of each piece of output: bytes read before it, its length, and if it is last."""
        for start, each in zip(self.starts, self.requests, strict=False):
            if each.expects:
                self.plan.append((start + each.pieces[0], INTERIM_BYTES, False))
            for i, length in enumerate(each.answer):
                last = i == len(each.answer) - 1
                self.plan.append((start + each.length, length, last))

    @property
    def unread(self) -> int:
        """Return how many bytes wait."""
        return self.received - self.position

    def answers_in(self, count: int) -> int:
        """Return how many answers are whole in so many bytes of output."""
        at = whole = 0
        for _, length, last in self.plan:
            at += length
            whole += last and at <= count
        return whole

    # --- the client -------------------------------------------------------------------

    def next_piece(self) -> int:
        """Return how many bytes the client may send now."""
        for i, request in enumerate(self.requests):
            at = self.starts[i]
            for number, length in enumerate(request.pieces):
                if at >= self.received:
                    if self.answers_in(self.delivered) < i:
                        return 0
                    if number == 1 and request.expects and not self.continued(i):
                        return 0
                    return length
                at += length
        return 0

    def continued(self, i: int) -> bool:
        """Return whether the client has got `100 Continue` for a request."""
        at = 0
        for needed, length, _ in self.plan:
            at += length
            if needed > self.starts[i]:
                return at <= self.delivered
        return False

    def send(self) -> None:
        """Send a piece as the client; the kernel wakes who is to be woken."""
        self.received += self.next_piece()
        self.acked, self.received_ms = self.delivered, self.now_ms
        self.data_ready()

    def data_ready(self) -> None:
        """Wake the process, if so much waits as its mark says (tcp_data_ready)."""
        if self.unread < self.mark:
            return
        if not self.blocks:
            self.awake = self.awake or self.unread > 0
        elif self.target is not None:
            self.copy()

    # --- the process ------------------------------------------------------------------

    def copy(self) -> None:
        """Do what a recv(2) does that runs or was woken: take what there is."""
        most = self.buffer_bytes - (self.position - self.seen)
        self.position += min(most, self.unread)
        assert self.target is not None
        if self.position - self.seen >= self.target:
            self.seen, self.target = self.position, None
        self.check_torn()

    def check_torn(self) -> None:
        """No process has a part of what was taken."""
        if self.taken is not None and self.asleep_when_taken:
            assert self.seen <= self.taken, "a request is torn"

    def recv(self) -> None:
        """Read once: an event loop gets what there is, a thread may have to wait."""
        if self.blocks:
            self.target = min(self.mark, self.buffer_bytes)
            if self.unread:
                self.copy()
        else:
            self.position = self.seen = self.position + min(
                self.unread, self.buffer_bytes
            )
            self.check_torn()

    def interrupt(self) -> None:
        """Send a signal: recv(2) returns what it has, or begins anew."""
        if self.target is None:
            return
        if self.seen < self.position:
            self.seen, self.target = self.position, None
        else:
            self.recv()

    def next_output(self) -> int:
        """Return how many bytes the process may write now."""
        if len(self.outputs) == len(self.plan):
            return 0
        needed, length, _ = self.plan[len(self.outputs)]
        return length if self.seen >= needed else 0

    def write(self) -> None:
        """Write the next piece of what the process owes."""
        length = self.next_output()
        self.outputs.append(length)
        self.written += length
        self.sent_ms = self.now_ms

    # --- who can move -----------------------------------------------------------------

    def moves(self) -> list[str]:
        """Return what can happen next, besides the relay and the clock."""
        found = []
        if self.taken is None and self.next_piece():
            found.append("send")
        if self.next_output() and (not self.blocks or self.target is None):
            found.append("write")
        if self.delivered < self.written:
            found.append("deliver")
        if self.acked < self.delivered:
            found.append("ack")
        if self.blocks and self.target is None and not self.next_output():
            found.append("recv")
        if self.awake:
            found += ["recv", "sleep"]
        return found

    def wake(self) -> None:
        """Wake the process whatever its mark is, as the kernel may (tcp_epollin_ready)."""
        if self.taken is None and self.unread and self.woken < MOST_WAKES:
            self.woken += 1
            if not self.blocks:
                self.awake = True
            elif self.target is not None:
                self.copy()

    def move(self, what: str) -> None:
        """Let it happen."""
        match what:
            case "send":
                self.send()
            case "write":
                self.write()
            case "deliver":
                self.delivered = self.written
            case "ack":
                self.acked = self.delivered
            case "recv":
                self.recv()
            case _:  # it goes to sleep; epoll is level-triggered
                self.awake = 0 < self.unread >= self.mark

    # --- the relay --------------------------------------------------------------------

    def look(self) -> Iterator[None]:
        """Look as sockets.py does: four system calls, and others run between them."""
        before = self.unread
        yield
        received, written, acked = self.received, self.written, self.acked
        received_age = self.now_ms // 4 * 4 - self.received_ms // 4 * 4
        sent_age = self.now_ms // 4 * 4 - self.sent_ms // 4 * 4
        yield
        unread = self.unread
        yield
        seen = connections.Connection(
            inode=1,
            state=connections.ESTABLISHED,
            local=("", 0),
            remote=("", 0),
            unread=unread,
            unsent=written - acked,
            bytes_received=received,
            bytes_acked=acked,
            last_received_ms=received_age,
            last_sent_ms=sent_age if written else 0xFFFFFFFF,
        )
        self.seen_look = Look(
            received=received,
            unread=unread,
            written=written,
            unsent=written - acked,
            silent_s=min(received_age, seen.last_sent_ms) / 1000,
            idle=not connections.is_busy(seen),
            steady=before == unread and received == self.received,
        )

    def relay(self) -> Iterator[None]:
        """Do what connection.py does, one system call after the other."""
        self.course, self.rest = Course(), Rest()
        self.parking: Parking | None = None
        self.reader_has_mark = False
        while self.taken is None and not self.is_cut:
            yield from self.look()
            look = self.seen_look
            if self.parking is None:
                yield from self.at_free(look)
            else:
                yield from self.at_parked(look)
            yield

    def at_free(self, look: Look) -> Iterator[None]:
        """Take what waits if the process is never idle, or park."""
        answered = self.course.look(look)
        if answered and look.unread and not look.unsent:
            head = self.judge()
            if head and self.position + head <= self.end_of_request():
                whole = self.end_of_request() - self.position
                if whole <= MOST_AT_ONCE_BYTES and self.unread >= whole:
                    yield from self.take(look)
                    return
        if self.reader_has_mark:
            self.free_reader()
        elif self.now_ms / 1000 >= self.rest.until and may_be_parked(look):
            yield from self.park(answered)

    def park(self, answered: bool) -> Iterator[None]:
        """Set the mark, and look whether something slipped in."""
        before = self.seen_look
        if self.blocks and self.target is None:
            return
        yield
        self.mark = MARK
        yield from self.look()
        after = self.seen_look
        if slipped_in(before, after) or (self.blocks and self.target is None):
            self.give_back()
            return
        self.parking = Parking.begin(after, answered=answered)

    def at_parked(self, look: Look) -> Iterator[None]:
        """One look at what is parked."""
        assert self.parking is not None
        self.course.look(look)
        step = self.parking.look(look)
        if look.steady and look.unread:
            self.waiting_looks += step is Step.WAIT
        else:
            self.waiting_looks = 0
        assert self.waiting_looks <= MOST_WAITING_LOOKS, (
            "bytes wait, and nobody is woken"
        )
        if step is Step.GIVE_BACK:
            self.give_back()
        elif step is Step.JUDGE:
            yield
            head, end, expects = self.judge(), 0, False
            if head:
                end, expects = self.end_of_request(), self.expects()
            large = self.blocks and end - self.position > LARGE_BYTES
            whole = self.unread >= end - self.position
            lasts_s = LATE_S if expects else WHOLE_S
            yield
            if head and not large and not whole and not (self.blocks and expects):
                if look.silent_s <= lasts_s:
                    return  # its pieces come still
                whole = not self.blocks
            if head and not large and whole:
                yield from self.take(look)
                return
            if head and self.position == look.position and not expects:
                self.course.expect(end, look.written)
            self.give_back()

    def give_back(self) -> None:
        """Clear the mark, and see that its reader returns."""
        self.mark, self.parking, self.waiting_looks = 1, None, 0
        self.given_back += 1
        self.data_ready()
        self.reader_has_mark = self.blocks
        self.free_reader()
        self.rest.begin(self.now_ms / 1000)
        if not self.blocks and self.unread:
            assert self.awake

    def free_reader(self) -> None:
        """Interrupt a reader that sleeps."""
        if self.reader_has_mark and self.target is not None:
            self.interrupt()
            self.reader_has_mark = False

    def end_of_request(self) -> int:
        """Return where the request ends that the next unread byte belongs to."""
        return next(end for end in self.starts[1:] if end > self.position)

    def judge(self) -> int:
        """Return how long the head is that waits; all bytes look like one."""
        return HEAD_BYTES if self.unread >= HEAD_BYTES else 0

    def expects(self) -> bool:
        """Return whether the request that waits is one behind `100 Continue`."""
        end = self.end_of_request()
        return self.requests[self.starts.index(end) - 1].expects

    def take(self, look: Look) -> Iterator[None]:
        """Connect, compare, and read the request."""
        at = look.position
        yield
        if self.position != at or self.unread < HEAD_BYTES:
            self.give_back()
            return
        yield  # between the comparison and the read
        if not self.unread:
            self.give_back()
            return
        if self.position != at and self.woken:
            self.is_cut = True  # it was woken just now: both have a part
            return
        assert self.position == at, "the process has a part of it: it is cut"
        assert at in self.starts, "what was taken is no request's start"
        number = self.starts.index(at)
        assert self.answers_in(self.written) >= number, "an answer is owed"
        assert self.seen == at, "a part of it is with the process"
        is_whole = self.unread >= self.end_of_request() - at
        assert is_whole or not self.awake or look.silent_s > LATE_S, "it may be torn"
        self.taken = at
        self.mark = MARK
        self.asleep_when_taken = not self.awake
        end = self.end_of_request()
        self.position = min(end, self.received)

    # --- its end ----------------------------------------------------------------------

    def run_out(self) -> None:
        """Let all go on in turn: everything is answered, or the next request taken."""
        relay = self.walk
        for _ in range(3000):
            if self.taken is not None or self.is_cut or not self.owed():
                return
            next(relay, None)
            self.pass_time(1)
            moves = self.moves()
            if moves:
                self.move(moves[self.now_ms % len(moves)])
        raise AssertionError(f"a request waits for ever: {self}")

    def owed(self) -> bool:
        """Return whether a request is not answered yet."""
        return self.answers_in(self.delivered) < len(self.requests)

    def pass_time(self, ms: int) -> None:
        """Let time pass; nobody rests in the middle of a request for as long as IDLE_S."""
        silent_ms = self.now_ms - max(self.received_ms, self.sent_ms)
        if self.received in self.starts or silent_ms + ms < IDLE_S * 1000:
            self.now_ms += ms

    def begin(self) -> None:
        """Let the relay come."""
        self.walk = self.relay()
