"""Stop a process for a moment, and let it go on (SIGSTOP, SIGCONT: signal(7)).

Two things need it.  A thread that sleeps in recv(2) took its mark when it began; a stop
ends the call with what it has read so far, or begins it anew with the mark of now.  And a
large body wakes its process whatever the mark is, if it comes faster than it is read.
"""

from __future__ import annotations

import os
import select
import signal

from gapless.supervisor.kernel import processes

_PAUSE_S = 0.0002
_MOST_PAUSES = 100


class Stops:
    """Stops processes, and counts how often: each stop begins their calls anew."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def count(self, pids: set[int]) -> int:
        """Return how often some processes have been stopped."""
        return sum(self._counts.get(pid, 0) for pid in pids)

    def stop(self, pids: set[int]) -> Stopped:
        """Stop processes until the end of what is returned."""
        for pid in pids:
            self._counts[pid] = self._counts.get(pid, 0) + 1
        return Stopped(pids)

    def interrupt(self, pid: int) -> bool:
        """Interrupt the system calls of a process's threads; they go on at once.

        Returns whether that reached all of them in time.
        """
        stopped = self.stop({pid})
        stopped.end()
        return stopped.complete


class Stopped:
    """Processes that were stopped, until `end`."""

    def __init__(self, pids: set[int]) -> None:
        """Stop them; those that somebody else has stopped stay so."""
        self._pids: list[int] = []
        for pid in pids:
            found = processes.read(pid)
            if found is None or found.state in "TtZ":
                continue
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                continue
            self._pids.append(pid)
        self.complete = all(list(map(_wait_until_stopped, self._pids)))
        """Whether every thread has stopped."""

    def end(self) -> None:
        """Let them go on; may be called again."""
        while self._pids:
            try:
                os.kill(self._pids.pop(), signal.SIGCONT)
            except ProcessLookupError:
                continue


def _wait_until_stopped(pid: int) -> bool:
    """Wait for the stop, for 20 ms at most; return whether it came.

    SIGCONT takes back one that has not come.
    """
    for _ in range(_MOST_PAUSES):
        if all(state in "TtZX" for state in _states_of_threads(pid)):
            return True
        select.select([], [], [], _PAUSE_S)
    return False


def _states_of_threads(pid: int) -> list[str]:
    """Return the state of each thread (proc(5)): a stop reaches one after the other."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
                found.append(chr(file.read().rpartition(b") ")[2][0]))
    except OSError:
        return found  # it ends
    return found
