"""Start one program: the parent's side.

Rule 1: the parent never hangs.  A child that has not called exec after `START_S` is killed,
even if it is stopped.
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


def spawn(
    request: SpawnRequest, begins: Callable[[Spawned], None] = lambda _: None
) -> Spawned:
    """Fork and exec; returns when the program runs.

    *begins* is called before that: the child waits for it, and ends if it raises.  Raises
    OSError, mostly SpawnError; no process and no descriptor is left then.
    """
    if not request.argv:
        raise SpawnError(errno.EINVAL, "start", "the command is empty")
    parent_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = notify = pidfd = -1
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
        pidfd = os.pidfd_open(child)
        deadline = clock.monotonic() + START_S
        if request.filtered:
            notify = _receive_notify(parent_end, deadline)
        spawned = Spawned(pid=child, pidfd=pidfd, notify=notify)
        begins(spawned)
        with contextlib.suppress(ConnectionError):  # it says why
            parent_end.send(_BEGIN)
        _wait_for_exec(parent_end, deadline)
    except BaseException:
        for each in (notify, pidfd):
            if each >= 0:
                os.close(each)
        if child > 0:
            _kill(child)
        raise
    finally:
        child_end.close()
        parent_end.close()
    return spawned


def _receive_notify(parent_end: socket.socket, deadline: float) -> int:
    """Return the notification descriptor.  Raises SpawnError."""
    message, descriptors = _receive(parent_end, deadline)
    if descriptors:
        return descriptors[0]
    if not message:
        raise SpawnError(errno.ECHILD, "", "it died before it became the program")
    raise _failure(message)


def _wait_for_exec(parent_end: socket.socket, deadline: float) -> None:
    """Return once exec has closed the child's end.  Raises SpawnError."""
    message, descriptors = _receive(parent_end, deadline)
    for each in descriptors:
        os.close(each)
    if message:
        raise _failure(message)


def _receive(parent_end: socket.socket, deadline: float) -> tuple[bytes, list[int]]:
    """Return what the child has sent; nothing if its end is closed.  Raises SpawnError."""
    poll = select.poll()
    poll.register(parent_end, select.POLLIN)
    left_s = deadline - clock.monotonic()
    if left_s <= 0 or not poll.poll(left_s * 1000):
        reason = f"it has not become the program after {START_S:g} s"
        raise SpawnError(errno.ETIMEDOUT, "", reason)
    try:
        message, descriptors, _, _ = socket.recv_fds(parent_end, 8192, 1)
    except ConnectionResetError:
        # It had not read that it begins.  That is reported once, before what it has sent.
        message, descriptors, _, _ = socket.recv_fds(parent_end, 8192, 1)
    for each in descriptors:
        os.set_inheritable(each, False)
    return message, descriptors


def _failure(message: bytes) -> SpawnError:
    number, step, reason = message.decode(errors="replace").split("\0", 2)
    return SpawnError(int(number), step, reason)


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
