"""Start one program: the parent's side.

Rule 1: the parent never hangs.  A child that has not called exec after `START_S` is killed,
even if it is stopped; who has other things to do meanwhile goes on with them (`Starting`).
Rule 2: the child reports in one message which step failed.  gapless writes nothing into the
program's log.
Rule 3: the program begins when what is known of it was put where it outlives this process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from gapless.base import clock
from gapless.keeper.exec_program import exec_program
from gapless.keeper.spawn_request import SpawnRequest

START_S = 10.0
"""How long a child may take from fork to exec."""
_KILL_S = 1.0
_BEGIN = b"!"
_HANDLED = (signal.SIGCHLD,)
"""The signals that the keeper has handlers for; what it ignores, its child ignores too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """A program that runs; the caller closes the descriptors."""

    pid: int
    pidfd: int
    notify: int
    """The notification descriptor, or -1 if the program is under no filter."""


class SpawnError(OSError):
    """A program did not start: *step* failed; *strerror* is the step and the reason."""

    def __init__(self, number: int, step: str, reason: str) -> None:
        super().__init__(number, f"{step}: {reason}" if step else reason)
        self.step = step


class Starting:
    """A child between fork and exec.

    The caller reaps it, if it does not become a `Spawned`.
    """

    def __init__(
        self, request: SpawnRequest, begins: Callable[[Spawned], None]
    ) -> None:
        """Fork.  Raises OSError.

        *begins* is called before the program begins: the child waits for it, and ends if
        it raises.
        """
        if not request.argv:
            raise SpawnError(errno.EINVAL, "start", "the command is empty")
        self._begins, self._has_begun = begins, False
        self._filtered = request.filtered
        self.deadline = clock.monotonic() + START_S
        self.line, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        """Is ready when there is something to go on with; `close` closes it."""
        self.pid = self.pidfd = self._notify = -1
        # No signal handler of the parent may run in the child before it is reset there.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                exec_program(request, child_end)
        except BaseException:
            self.line.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            child_end.close()
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except OSError:
            os.kill(self.pid, signal.SIGKILL)
            self.close()
            raise

    def close(self) -> None:
        """Close the line: a child that does not run yet ends."""
        self.line.close()

    def wait(self, until: float) -> Spawned | None:
        """Go on; return the program once it runs, None if that takes longer than *until*.

        Raises OSError, mostly SpawnError; the child is killed then, and no descriptor but
        the line is left.
        """
        try:
            if not (self._filtered or self._has_begun):
                self._begin()
            found = None
            while found is None:
                received = _receive(self.line, min(until, self.deadline))
                if received is not None:
                    found = self._take(*received)
                elif clock.monotonic() < self.deadline:
                    return None
                else:
                    reason = f"it has not become the program after {START_S:g} s"
                    raise SpawnError(errno.ETIMEDOUT, "", reason)
        except BaseException:
            self._abandon()
            raise
        return found

    def _take(self, message: bytes, descriptors: list[int]) -> Spawned | None:
        """Take in what the child has sent; nothing: its end is closed, by exec or death."""
        if not self._has_begun and descriptors:
            self._notify = descriptors[0]
            self._begin()
            return None
        for each in descriptors:
            os.close(each)
        if message:
            raise _failure(message)
        if not self._has_begun:
            raise SpawnError(errno.ECHILD, "", "it died before it became the program")
        return self._spawned()

    def _spawned(self) -> Spawned:
        return Spawned(pid=self.pid, pidfd=self.pidfd, notify=self._notify)

    def _begin(self) -> None:
        self._has_begun = True
        self._begins(self._spawned())
        with contextlib.suppress(ConnectionError):  # it says why
            self.line.send(_BEGIN)

    def _abandon(self) -> None:
        """Kill the child."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        for each in (self._notify, self.pidfd):
            if each >= 0:
                os.close(each)
        self._notify = self.pidfd = -1


def spawn(
    request: SpawnRequest, begins: Callable[[Spawned], None] = lambda _: None
) -> Spawned:
    """Fork and exec; returns when the program runs.

    *begins* is as in `Starting`.  Raises OSError, mostly SpawnError; no process and no
    descriptor is left then, but one that does not die in time: it is the caller's.
    """
    starting = Starting(request, begins)
    try:
        found = starting.wait(starting.deadline)
    except BaseException:
        _reap(starting.pid)
        raise
    finally:
        starting.close()
    assert found is not None, "its deadline is an error"
    return found


def _receive(line: socket.socket, until: float) -> tuple[bytes, list[int]] | None:
    """Return what the child has sent; None if nothing comes in time."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    if not poll.poll(max(0.0, until - clock.monotonic()) * 1000):
        return None
    try:
        message, descriptors, _, _ = socket.recv_fds(line, 8192, 1)
    except ConnectionResetError:
        # It had not read that it begins.  That is reported once, before what it has sent.
        message, descriptors, _, _ = socket.recv_fds(line, 8192, 1)
    for each in descriptors:
        os.set_inheritable(each, False)
    return message, descriptors


def _failure(message: bytes) -> SpawnError:
    number, step, reason = message.decode(errors="replace").split("\0", 2)
    return SpawnError(int(number), step, reason)


def _reap(child: int) -> None:
    """Reap a child that was killed."""
    pidfd = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(_KILL_S * 1000)
        os.waitpid(child, os.WNOHANG)
    finally:
        os.close(pidfd)
