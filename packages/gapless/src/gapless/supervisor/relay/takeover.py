"""Take the connections of one generation, one by one, while its processes serve."""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import os
import selectors
import socket
from collections.abc import Callable

from gapless.base import clock
from gapless.base.outside import faults
from gapless.keeper.duplicate import duplicate
from gapless.supervisor.relay import holders
from gapless.supervisor.relay.alone import Alone
from gapless.supervisor.relay.attention import FOCUS_S, Counts, Pace
from gapless.supervisor.relay.connection import Connection, State
from gapless.supervisor.relay.holders import Holder
from gapless.supervisor.relay.http.exchange import SOURCES
from gapless.supervisor.relay.large import RECENT_S
from gapless.supervisor.relay.messages import Aim, Got, Need, Status
from gapless.supervisor.relay.sockets import TTLS
from gapless.supervisor.relay.stopped import Stops

ASK_AGAIN_S = 1.0
ANSWER_S = 3.0
FEW, SPELL_S, MOST_SPIN_S = 3, 0.04, 0.005
FOCUS, FOCUS_SHARE = 8, 16
"""So many busy connections are parked at a time, or such a part of all: when all ask at
once, each of their exchanges would wait for those of the others."""
SCAN_S = 0.01
"""How often the descriptors of the processes are listed; more seldom if that is slow."""


def most_in_focus(held: int, taken: int, age_s: float) -> int:
    """Return how many busy connections may be parked at a time.

    The first one comes alone, and more with each that was answered: a process answers its
    first requests slowly, and the old one answers what is not taken yet.
    """
    most = max(FOCUS, held // FOCUS_SHARE)
    return min(most, 1 + taken + int(age_s / FOCUS_S))


class Takeover:
    """The connections of one generation."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        aim: Aim,
        send: Callable[[str, object], None],
        hear: Callable[[], object] = lambda: None,
        elsewhere: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """Use *send* to ask the keeper for what this process has no right to.

        *hear* takes in what the supervisor has said: before its processes are told to end
        it says so.  *elsewhere* tells whether another takeover has a connection.
        """
        self._selector, self.aim, self._send = selector, aim, send
        self._hear, self._elsewhere = hear, elsewhere
        self._asked: dict[int, float] = {}
        """Duplicates that the keeper was asked for, and when."""
        self._waits: dict[int, float] = {}
        """Those that it has not answered, and since when."""
        self.ending = self.forgotten = False
        self.connections: dict[int, Connection] = {}
        """By the inode of the socket."""
        self.counts = Counts()
        self._stops = Stops()
        self._pace = Pace(at_once=aim.at_once, holds=aim.holds)
        self._found: dict[int, list[Holder]] = {}
        self._found_at = 0.0
        """Who held which socket when that was looked up last."""
        self._dropped = False
        self.trouble = ""
        self.alone: list[Alone] = []
        self._unwanted: set[int] = set()
        self._began = clock.monotonic()
        self._scan_at = 0.0
        self._scanned = False

    def renew(self, aim: Aim) -> None:
        """Aim anew, also at another generation of the same number."""
        if self._dropped or not set(aim.pids) & set(self.aim.pids):
            self.ending = self.forgotten = self._dropped = False
        self.aim = aim
        self._pace.at_once, self._pace.holds = aim.at_once, aim.holds

    def status(self) -> Status:
        """Return what is left to do, and what was done."""
        free = unsettled = parked = waiting = 0
        for each in self.connections.values():
            waiting += each.waits
            if each.state is State.FREE:
                free += not each.settled
            else:
                unsettled += not each.settled
                parked += each.settled
        unsettled += sum(each.exchange is not None for each in self.alone)
        return Status(
            app=self.aim.app,
            generation=self.aim.generation,
            instance=self.aim.instance,
            looked=self._scanned,
            free=(0 if self.aim.patience_s else free) + len(self._waits),
            unsettled=unsettled,
            parked=parked,
            taken=self.counts.taken,
            given_back=self.counts.given_back,
            cut=self.counts.cut,
            trouble=self.trouble,
            waiting=waiting,
        )

    def is_quiet(self) -> bool:
        """Return whether nothing is to be looked at before something comes."""
        return not self.connections and all(each.is_quiet() for each in self.alone)

    def hurries(self, now: float) -> bool:
        """Return whether the next look should come as soon as possible.

        So it is, half of the time, when a few connections are left that have not been
        caught for a while: each is idle for a tenth of a millisecond.
        """
        held = self.connections.values()
        if any(each.attention.hurries_until > now for each in held):
            return True
        free = sum(
            each.state is State.FREE and not each.settled and each.silent_s < RECENT_S
            for each in held
        )
        caught = self.aim.patience_s or not 0 < free <= FEW
        return not caught and now > self._began + 1.0 and now % SPELL_S < SPELL_S / 2

    def in_focus(self, now: float) -> list[Connection]:
        """Return the parked connections whose next request may come any moment."""
        held = self.connections.values()
        return [each for each in held if each.is_parked_in_focus(now)]

    def is_over(self) -> bool:
        """Return whether nothing is held any more, and nothing will be."""
        if self.connections or self.alone:
            return False
        if self.forgotten:
            return True
        return not any(os.path.exists(f"/proc/{pid}") for pid in self.aim.pids)

    def forget(self) -> None:
        """Look for no more connections: the generation has ended."""
        self.ending = self.forgotten = True

    def orphan(self) -> None:
        """Finish what is under way: nobody says any more what is to end."""
        self.forget()
        self.drop()

    def drop(self) -> None:
        """Give back what is not taken, and end what waits without a process."""
        self._dropped = True
        for each in self.connections.values():
            if each.state is not State.TAKEN:
                each.fail()  # what was read is closed: nobody can be given it
        for alone in self.alone:
            if alone.exchange is None:
                alone.end()
        self._forget_what_is_over()

    # --- one round --------------------------------------------------------------------

    def round(self, now: float) -> None:
        """Look at every connection once, and at the processes if it is time."""
        if now >= self._scan_at:
            self._scan()
        self._pace.spin_s = MOST_SPIN_S
        held = self.connections.values()
        most = most_in_focus(len(held), self.counts.taken, now - self._began)
        self._pace.room = most - sum(each.attention.is_in_focus(now) for each in held)
        for inode, each in list(self.connections.items()):
            try:
                self._step(each, now)
            except Exception as error:  # noqa: BLE001 - one fault hurts one connection
                _tell(error)
                each.fail()
            if each.state is State.OVER:
                del self.connections[inode]
                if each.unwanted:
                    self._unwanted.add(inode)
                if each.alone is not None:
                    self.alone.append(each.alone)
        for alone in self.alone:
            try:
                alone.round(now, self.aim.limit_s, holds=self.aim.holds)
            except Exception as error:  # noqa: BLE001 - as above
                _tell(error)
                alone.fail()
        self._forget_what_is_over()

    def _forget_what_is_over(self) -> None:
        self.alone = [each for each in self.alone if not each.is_over]

    def _step(self, each: Connection, now: float) -> None:
        if each.state is State.OVER or not each.is_due(now, self.aim.patience_s):
            return
        if not self._is_held(each):
            self._hear()
            each.was_let_go(ending=self.ending)
            return
        each.round(now, self.aim.patience_s)
        each.tick(now)

    def _is_held(self, each: Connection) -> bool:
        """Return whether a process of the generation has a connection still."""
        if any(holders.holds(holder, each.inode) for holder in each.reader.holders):
            return True
        if each.reader.holders:
            each.reader.holders = self._holders().get(each.inode, [])
        return bool(each.reader.holders)

    def _holders(self) -> dict[int, list[Holder]]:
        """Return who holds which socket, as of a moment ago."""
        if clock.monotonic() > self._found_at + SCAN_S:
            self._found = holders.sockets_of(self.aim.pids)
            self._found_at = clock.monotonic()
        return self._found

    # --- the processes ----------------------------------------------------------------

    def _scan(self) -> None:
        began = clock.monotonic()
        self._found_at = 0.0
        found = self._holders()
        after_another = self.aim.starts > 1 and not self._scanned
        self._unwanted &= found.keys()
        self._asked = {i: at for i, at in self._asked.items() if i in found}
        self._waits = {i: at for i, at in self._waits.items() if i in found}
        for inode, held_by in found.items():
            known = self.connections.get(inode)
            if known is not None:
                known.reader.holders = held_by
            elif inode in self._unwanted or self._elsewhere(inode):
                continue
            elif not (self.ending or self._dropped):
                with contextlib.suppress(OSError):
                    self._find(inode, held_by)
        if after_another:
            # Readers may sleep with marks of the relay before; those are mended now.
            by_pid = {each[0]: (each, i) for i, held in found.items() for each in held}
            for holder, inode in by_pid.values():
                self._stops.interrupt([holder], inode)
        took_s = clock.monotonic() - began
        self._scan_at = began + took_s + max(SCAN_S, 10 * took_s)
        self._scanned = True

    def _find(self, inode: int, held_by: list[Holder]) -> None:
        """Begin to look at a connection, if a socket is one that may be taken."""
        try:
            copy = duplicate(*held_by[0])
        except PermissionError:
            self._ask_for(inode, held_by[0])
            return
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ESRCH):
                self.trouble = f"its connections cannot be duplicated: {error.strerror}"
            return  # or it was closed meanwhile
        self._add(inode, held_by, copy)

    def _ask_for(self, inode: int, holder: Holder) -> None:
        """Let the keeper make a duplicate: it has more rights."""
        now = clock.monotonic()
        if now < self._asked.get(inode, 0.0) + ASK_AGAIN_S:
            return
        self._asked[inode] = now
        since = self._waits.setdefault(inode, now)
        if now > since + ANSWER_S:
            self.trouble = "no right to duplicate its connections, and no answer"
        need = Need(
            app=self.aim.app,
            generation=self.aim.generation,
            inode=inode,
            pid=holder[0],
            descriptor=holder[1],
        )
        self._send("need", need)

    def waits_for(self, got: Got) -> bool:
        """Return whether a duplicate was asked for here."""
        own = self.aim.app, self.aim.generation
        return own == (got.app, got.generation) and got.inode in self._waits

    def got(self, got: Got, received: list[int]) -> None:
        """Take in a duplicate that was asked for; what is used of *received* leaves it."""
        self._waits.pop(got.inode, None)
        held_by = self._found.get(got.inode, [])
        held_by = [each for each in held_by if holders.holds(each, got.inode)]
        wanted = got.inode not in self.connections
        if received and held_by and wanted and not (self.ending or self._dropped):
            self._add(got.inode, held_by, received.pop())
        elif not received and got.reason == os.strerror(errno.EPERM):
            self.trouble = "no right to duplicate its connections (ptrace)"

    def _add(self, inode: int, held_by: list[Holder], copy: int) -> None:
        if not holders.is_socket(copy, inode):
            os.close(copy)
            return
        sock = holders.connection_of(copy)
        if sock is None or not self._may_be_taken(sock):
            if sock is not None:
                sock.close()
            self._unwanted.add(inode)
            return
        if ttl := dict(self.aim.ttls).get(sock.getsockname()[1]):
            TTLS[sock] = ttl
        each = Connection(
            self._selector, sock, inode, self.counts, self._stops, pace=self._pace
        )
        each.reader.holders = held_by
        self.connections[inode] = each
        each.mend()

    def _may_be_taken(self, sock: socket.socket) -> bool:
        try:
            local, remote = sock.getsockname(), sock.getpeername()
        except OSError:
            return False  # it was reset meanwhile
        if local[1] not in self.aim.ports or remote[:2] in SOURCES:
            return False
        kind = kind_of(local[0])
        if self.aim.loopback_only and kind != "loopback":
            return False
        return kind == kind_of(remote[0])


def _tell(error: Exception) -> None:
    """Write down a fault of our own; that a peer is gone is none."""
    if not isinstance(error, OSError):
        faults.write(f"gapless relay: {faults.traceback_of(error)}")


@functools.lru_cache(maxsize=256)
def kind_of(host: str) -> str:
    """Return the class of an address: a relayed request must not gain trust by it."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if address.is_loopback:
        return "loopback"
    return "private" if address.is_private else "public"
