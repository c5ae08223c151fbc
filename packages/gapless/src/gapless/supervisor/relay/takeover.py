"""Take the connections of one generation, one by one, while its processes serve."""

from __future__ import annotations

import errno
import ipaddress
import os
import selectors
import socket
from collections.abc import Callable

from gapless.base import clock
from gapless.keeper.duplicate import duplicate
from gapless.supervisor.relay import holders
from gapless.supervisor.relay.connection import Connection, Counts, State
from gapless.supervisor.relay.holders import Holder
from gapless.supervisor.relay.messages import Aim, Got, Need, Status
from gapless.supervisor.relay.stopped import Stops

ASK_AGAIN_S = 1.0
SCAN_S = 0.01
"""How often the descriptors of the processes are listed; more seldom if that is slow."""


class Takeover:
    """The connections of one generation."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        aim: Aim,
        is_own: Callable[[tuple[str, int]], bool],
        send: Callable[[str, object], None],
    ) -> None:
        """Use *is_own* to ask whether a client's address is the relay itself."""
        self._selector, self.aim, self._is_own = selector, aim, is_own
        self._send = send
        self._asked: dict[int, float] = {}
        """Duplicates that the keeper was asked for, and when."""
        self.ending = False
        self.connections: dict[int, Connection] = {}
        """By the inode of the socket."""
        self.counts = Counts()
        self._stops = Stops()
        self.trouble = ""
        self.alone: list[Connection] = []
        self._unwanted: set[int] = set()
        self._scan_at = 0.0
        self._scanned = False

    def status(self) -> Status:
        """Return what is left to do, and what was done."""
        free = unsettled = 0
        for each in self.connections.values():
            if each.state is State.FREE:
                free += not each.settled
            else:
                unsettled += not each.settled
        unsettled += sum(each.state is State.TAKEN for each in self.alone)
        return Status(
            app=self.aim.app,
            generation=self.aim.generation,
            looked=self._scanned,
            free=0 if self.aim.patience_s else free,
            unsettled=unsettled,
            taken=self.counts.taken,
            given_back=self.counts.given_back,
            cut=self.counts.cut,
            trouble=self.trouble,
        )

    def hurries(self, now: float) -> bool:
        """Return whether the next look should come as soon as possible."""
        return any(each.hurries_until > now for each in self.connections.values())

    def is_over(self) -> bool:
        """Return whether nothing is held any more, and nothing will be."""
        if not self.ending or self.connections or self.alone:
            return False
        return not any(os.path.exists(f"/proc/{pid}") for pid in self.aim.pids)

    def orphan(self) -> None:
        """Finish what is under way: nobody says any more what is to end."""
        self.ending = True
        for each in self.alone:
            if each.state is State.ALONE:
                each.end()

    # --- one round --------------------------------------------------------------------

    def round(self, now: float) -> None:
        """Look at every connection once, and at the processes if it is time."""
        if now >= self._scan_at:
            self._scan()
        for inode, each in list(self.connections.items()):
            try:
                self._step(each, now)
            except OSError:
                each.fail()
            if each.state is State.OVER:
                del self.connections[inode]
                if each.foreign:
                    self._unwanted.add(inode)
            elif each.state is State.ALONE or not each.holders:
                del self.connections[inode]
                self.alone.append(each)
        for each in list(self.alone):
            try:
                each.tick(now, held=False)
                each.look_alone(now, self.aim.limit_s)
            except OSError:
                each.fail()
            if each.state is State.OVER:
                self.alone.remove(each)

    def _step(self, each: Connection, now: float) -> None:
        if not each.is_due(now, self.aim.patience_s):
            return
        if not self._is_held(each):
            each.was_let_go(now, ending=self.ending)
            return
        each.round(now, self.aim.patience_s)
        each.tick(now, held=True)

    def _is_held(self, each: Connection) -> bool:
        """Return whether a process of the generation has a connection still."""
        if any(holders.holds(holder, each.inode) for holder in each.holders):
            return True
        if each.holders:
            found = holders.sockets_of(self.aim.pids)
            each.holders = found.get(each.inode, [])
        return bool(each.holders)

    # --- the processes ----------------------------------------------------------------

    def _scan(self) -> None:
        began = clock.monotonic()
        found = holders.sockets_of(self.aim.pids)
        self._unwanted &= found.keys()
        self._asked = {i: at for i, at in self._asked.items() if i in found}
        for inode, held_by in found.items():
            known = self.connections.get(inode)
            if known is not None:
                known.holders = held_by
            elif inode not in self._unwanted and not self.ending:
                self._find(inode, held_by)
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
        except OSError:
            return  # it was closed meanwhile
        self._add(inode, held_by, copy)

    def _ask_for(self, inode: int, holder: Holder) -> None:
        """Let the keeper make a duplicate: it has more rights."""
        now = clock.monotonic()
        if now < self._asked.get(inode, 0.0) + ASK_AGAIN_S:
            return
        self._asked[inode] = now
        need = Need(
            app=self.aim.app,
            generation=self.aim.generation,
            inode=inode,
            pid=holder[0],
            descriptor=holder[1],
        )
        self._send("need", need)

    def got(self, got: Got, received: list[int]) -> None:
        """Take in a duplicate that was asked for; what is used of *received* leaves it."""
        if received and got.inode not in self.connections and not self.ending:
            held_by = holders.sockets_of(self.aim.pids).get(got.inode)
            if held_by:
                self._add(got.inode, held_by, received.pop())
        elif not received and got.reason == os.strerror(errno.EPERM):
            self.trouble = "no right to duplicate its connections (ptrace)"

    def _add(self, inode: int, held_by: list[Holder], copy: int) -> None:
        if os.fstat(copy).st_ino != inode:
            os.close(copy)
            return
        sock = holders.connection_of(copy)
        if sock is None or not self._may_be_taken(sock):
            if sock is not None:
                sock.close()
            self._unwanted.add(inode)
            return
        connection = Connection(self._selector, sock, inode, self.counts, self._stops)
        connection.holders = held_by
        self.connections[inode] = connection

    def _may_be_taken(self, sock: socket.socket) -> bool:
        local, remote = sock.getsockname(), sock.getpeername()
        if local[1] not in self.aim.ports or self._is_own(remote[:2]):
            return False
        kind = kind_of(local[0])
        if self.aim.loopback_only and kind != "loopback":
            return False
        return kind == kind_of(remote[0])


def kind_of(host: str) -> str:
    """Return the class of an address: a relayed request must not gain trust by it."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    if address.is_loopback:
        return "loopback"
    return "private" if address.is_private else "public"
