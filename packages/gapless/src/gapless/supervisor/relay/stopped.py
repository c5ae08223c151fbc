"""Stop a process for a moment, and let it go on (SIGSTOP, SIGCONT: signal(7)).

Two things need it.  A thread that sleeps in recv(2) took its mark when it began; a stop
ends the call with what it has read so far, or begins it anew with the mark of now.  And a
large body wakes its process whatever the mark is, if it comes faster than it is read.

Rule 1: only a process that holds the connection now is signalled, by its pidfd.
Rule 2: who stopped a process twice lets it go on when both ends have come.
"""

from __future__ import annotations

import os
import select
import signal

from gapless.supervisor.kernel import processes
from gapless.supervisor.relay import holders
from gapless.supervisor.relay.holders import Holder

_PAUSE_S = 0.0002
_MOST_PAUSES = 100


class Stops:
    """Stops processes, and counts how often: each stop begins their calls anew."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._held: dict[int, int] = {}
        """How many of those that stopped a process have not let it go on."""

    def count(self, pids: set[int]) -> int:
        """Return how often some processes have been stopped."""
        return sum(self._counts.get(pid, 0) for pid in pids)

    def holds(self, pids: set[int]) -> bool:
        """Return whether one of some processes is stopped now."""
        return not pids.isdisjoint(self._held)

    def is_active(self) -> bool:
        """Return whether a process is stopped now."""
        return bool(self._held)

    def stop(self, held_by: list[Holder], inode: int) -> Stopped:
        """Stop the processes that hold a socket until the end of what is returned."""
        return Stopped(self, held_by, inode)

    def interrupt(self, held_by: list[Holder], inode: int) -> bool:
        """Interrupt the system calls of processes' threads; they go on at once.

        Returns whether that reached all of them in time.
        """
        stopped = self.stop(held_by, inode)
        stopped.end()
        return stopped.complete

    def begin(self, pid: int, pidfd: int) -> bool:
        """Stop a process, unless it is; return whether that is for us to undo."""
        if pid not in self._held:
            found = processes.read(pid)
            if found is None or found.state in "TtZ":
                return False  # somebody else has stopped it, and may let it go on
            signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
            self._counts[pid] = self._counts.get(pid, 0) + 1
        self._held[pid] = self._held.get(pid, 0) + 1
        return True

    def finish(self, pid: int, pidfd: int) -> None:
        """Let a process go on, if nobody else holds it.  Raises OSError."""
        self._held[pid] -= 1
        if not self._held[pid]:
            del self._held[pid]
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)


class Stopped:
    """Processes that were stopped, until `end`."""

    def __init__(self, stops: Stops, held_by: list[Holder], inode: int) -> None:
        self.until = 0.0
        """When that has to be over, if somebody looks."""
        self._stops = stops
        self._pidfds: dict[int, int] = {}
        self.complete = True
        """Whether every thread of every process stands still."""
        for holder in held_by:
            if holder[0] not in self._pidfds:
                self._add(holder, inode)
        stand = [_wait_until_stopped(pid) for pid in self._pidfds]
        self.complete = self.complete and all(stand)

    def _add(self, holder: Holder, inode: int) -> None:
        try:
            pidfd = os.pidfd_open(holder[0])
        except OSError:
            return  # it is gone
        try:
            ours = holders.holds(holder, inode) and self._stops.begin(holder[0], pidfd)
        except OSError:
            ours = False
        if ours:
            self._pidfds[holder[0]] = pidfd
        else:
            self.complete = False
            os.close(pidfd)

    def end(self) -> None:
        """Let them go on; may be called again."""
        while self._pidfds:
            pid, pidfd = self._pidfds.popitem()
            try:
                self._stops.finish(pid, pidfd)
            except OSError:
                continue  # it is gone
            finally:
                os.close(pidfd)


def _wait_until_stopped(pid: int) -> bool:
    """Wait for the stop, for 20 ms at most; return whether it came.

    SIGCONT takes back one that has not come.
    """
    for _ in range(_MOST_PAUSES):
        if all(state in "TtZX" for state in states_of_threads(pid)):
            return True
        select.select([], [], [], _PAUSE_S)
    return False


def states_of_threads(pid: int) -> list[str]:
    """Return the state of each thread (proc(5)): a stop reaches one after the other."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
                found.append(chr(file.read().rpartition(b") ")[2][0]))
    except OSError:
        return found  # it ends
    return found
