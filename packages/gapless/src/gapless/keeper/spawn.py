"""Start one program: the parent's side.

Rule 1: the parent never hangs.  A child that has not called exec after `START_S` is killed,
even if it is stopped.
Rule 2: the child reports in one message which step failed.  gapless writes nothing into the
program's log.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
from dataclasses import dataclass

from gapless.base import clock
from gapless.keeper.exec_program import exec_program
from gapless.keeper.spawn_request import SpawnRequest

START_S = 10.0
"""How long a child may take from fork to exec."""
_KILL_S = 1.0
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


def spawn(request: SpawnRequest) -> Spawned:
    """Fork and exec; returns when the program runs.

    Raises OSError, mostly SpawnError; no process and no descriptor is left then.
    """
    if not request.argv:
        raise SpawnError(errno.EINVAL, "start", "the command is empty")
    parent_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = notify = -1
    try:
        # No signal handler of the parent may run in the child before it is reset there.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            child = os.fork()
            if child == 0:
                exec_program(request, child_end)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        child_end.close()
        notify = _wait_for_exec(parent_end, clock.monotonic() + START_S)
        if request.filtered and notify < 0:
            raise SpawnError(errno.ECHILD, "", "it died before it became the program")
        pidfd = os.pidfd_open(child)
    except BaseException:
        if notify >= 0:
            os.close(notify)
        if child > 0:
            _kill(child)
        raise
    finally:
        child_end.close()
        parent_end.close()
    return Spawned(pid=child, pidfd=pidfd, notify=notify)


def _wait_for_exec(parent_end: socket.socket, deadline: float) -> int:
    """Return the notification descriptor, or -1, once exec has closed the child's end.

    Raises SpawnError.
    """
    notify = -1
    poll = select.poll()
    poll.register(parent_end, select.POLLIN)
    try:
        while True:
            left_s = deadline - clock.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                reason = f"it has not become the program after {START_S:g} s"
                raise SpawnError(errno.ETIMEDOUT, "", reason)
            message, descriptors, _, _ = socket.recv_fds(parent_end, 8192, 1)
            if descriptors:
                notify = descriptors[0]
                os.set_inheritable(notify, False)
            elif message:
                number, step, reason = message.decode(errors="replace").split("\0", 2)
                raise SpawnError(int(number), step, reason)
            else:
                return notify
    except BaseException:
        if notify >= 0:
            os.close(notify)
        raise


def _kill(child: int) -> None:
    """Kill and reap a child; one that does not die in time is reaped by the caller."""
    os.kill(child, signal.SIGKILL)
    pidfd = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(_KILL_S * 1000)
        os.waitpid(child, os.WNOHANG)
    finally:
        os.close(pidfd)
