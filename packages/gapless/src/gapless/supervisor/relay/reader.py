"""Who reads from a connection in its process, and when it is woken.

An event loop asks the kernel which connections can be read, and the mark makes the kernel
say no.  A thread that sleeps in recv(2) took its mark when it went there: one that took
ours sleeps until as much has come, and has to be freed.
"""

from __future__ import annotations

import socket

from gapless.base import clock
from gapless.supervisor.relay import holders, sockets
from gapless.supervisor.relay.holders import Holder
from gapless.supervisor.relay.parking import Look
from gapless.supervisor.relay.stopped import Stopped, Stops

TRY_AGAIN_S = 0.03


class Reader:
    """The processes that hold a connection, as its readers."""

    def __init__(self, sock: socket.socket, inode: int, stops: Stops) -> None:
        self._sock, self._inode, self._stops = sock, inode, stops
        self.holders: list[Holder] = []
        self.stopped: Stopped | None = None
        """Its processes, while they are stopped."""
        self.may_have_mark = False
        """A thread may sleep in recv(2) with a mark that was taken back since."""
        self._written = 0
        """What its process had written when the mark was taken back."""
        self._free_at = 0.0
        self._stops_before = 0
        """How often its processes had been stopped when it was parked."""

    def pids(self) -> set[int]:
        """Return the processes that hold the connection."""
        return {pid for pid, _ in self.holders}

    def is_blocking(self) -> bool:
        """Return whether a thread may sleep in recv(2) here."""
        return sockets.is_blocking(self._sock)

    def sleeps(self) -> bool:
        """Return whether a thread sleeps in recv(2) here, or none ever does.

        One that is stopped there does not: it begins its call anew when it goes on, with
        the mark of then.
        """
        if not self.is_blocking():
            return True
        if self._stops.holds(self.pids()):
            return False
        return any(holders.sleeps_in_recv(each) for each in self.holders)

    # --- marks ------------------------------------------------------------------------

    def park(self) -> bool:
        """Keep it from being woken; return whether the kernel can."""
        self._stops_before = self._stops.count(self.pids())
        return sockets.set_mark(self._sock, sockets.PARKED)

    def has_slept(self, look: Look, position: int) -> bool:
        """Return whether it sleeps since before it was parked, at *position*.

        One that was woken, by a full window, has read when it sleeps again.
        """
        if self._stops.count(self.pids()) != self._stops_before:
            return False
        if look.position != position or not self.sleeps():
            return False
        return sockets.look(self._sock).position == position

    def wake(self, *, slept: bool = False) -> None:
        """Let it be woken again; it *slept* since before it was parked."""
        sockets.clear_mark(self._sock)
        self.may_have_mark = self.is_blocking() and not slept
        look = sockets.look(self._sock)
        self._written = look.written
        self.free(look)

    def free(self, look: Look) -> None:
        """Let a thread return that may sleep until as much has come as its mark said.

        One that was on its way into recv(2) sleeps a moment later, and is found then; one
        that has answered since has returned from there.
        """
        if look.written != self._written or not self.is_blocking():
            self.may_have_mark = False
        if not self.may_have_mark or clock.monotonic() < self._free_at:
            return
        if any(holders.sleeps_in_recv(each) for each in self.holders):
            self.may_have_mark = not self._stops.interrupt(self.holders, self._inode)
            # Its threads do not come to a stop: that must not hold up everybody.
            self._free_at = clock.monotonic() + TRY_AGAIN_S

    def stops_others(self) -> bool:
        """Return whether a process stands still for another connection."""
        return self.stopped is None and self._stops.is_active()

    # --- stops ------------------------------------------------------------------------

    def stop(self) -> bool:
        """Stop its processes, unless they are; return whether every thread stands still."""
        if self.stopped is None:
            self.stopped = self._stops.stop(self.holders, self._inode)
        return self.stopped.complete

    def hand_over(self) -> Stopped | None:
        """Return its stopped processes to whoever lets them go on later."""
        stopped, self.stopped = self.stopped, None
        return stopped

    def go_on(self) -> None:
        """Let its processes go on, if they are stopped."""
        if self.stopped is not None:
            self.stopped.end()
            self.stopped = None
