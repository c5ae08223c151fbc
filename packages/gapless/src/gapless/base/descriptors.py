"""The descriptors of a process of ours: how many it may have, and what it does without.

Rule: to be out of descriptors or memory says nothing about a peer.  What needs one fails
for whoever asked, or is tried again; no connection is taken for lost because of it.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import resource
import select
import socket
from collections.abc import Callable
from typing import TypeVar

from gapless.base import files

Made = TypeVar("Made")

_CLOSE_ON_EXEC = 0x40000000  # MSG_CMSG_CLOEXEC
PAUSE_S = 0.01
"""A loop that can do nothing about a shortage waits so long, and does not spin."""
_SHORTAGES = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.ETOOMANYREFS,
)


class _Own:
    """What belongs to the whole process, as its descriptors do."""

    limits: tuple[int, int] | None = None
    """The limits that this process was started with; None: they are unchanged."""
    spare: int = -1


def prepare(started_with: tuple[int, int] | None = None) -> None:
    """Raise our soft limit to the hard one, and keep a spare descriptor.

    A limit that cannot be raised stays.  *started_with*: the limits of a process whose
    place this one takes.
    """
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    _Own.limits = started_with or _Own.limits or found
    # The kernel's own limit may be lower (fs.nr_open).
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (found[1], found[1]))
    refill()


def started_with() -> tuple[int, int]:
    """Return the limits that this process was started with."""
    return _Own.limits or resource.getrlimit(resource.RLIMIT_NOFILE)


def restore_limits() -> None:
    """Set the limits that this process was started with: for a program that it starts."""
    if _Own.limits is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, _Own.limits)


def is_shortage(error: BaseException) -> bool:
    """Return whether a call failed because descriptors or memory ran out."""
    return isinstance(error, OSError) and error.errno in _SHORTAGES


def refill() -> bool:
    """Open the spare descriptor if it was used; return whether there is one."""
    if _Own.spare < 0:
        try:
            _Own.spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
    return True


def close(descriptor: int) -> None:
    """Let go of a descriptor: its number is free, whatever the kernel answers.

    With close(2) a file on NFS, CIFS or FUSE tells what its server did not take (ENOSPC,
    EDQUOT, EIO).  Whoever goes on with the number uses what another one opens.
    """
    with contextlib.suppress(OSError):
        os.close(descriptor)


def settle() -> None:
    """Move the spare descriptor to the lowest number that is free now."""
    _close_spare()
    refill()


def _close_spare() -> None:
    spare, _Own.spare = _Own.spare, -1
    if spare >= 0:
        close(spare)


def hand_on(kept: set[int]) -> None:
    """Let a program that takes the place of this process have these, and no others.

    Those that came from another process (SCM_RIGHTS) would be inherited by themselves.
    """
    for descriptor in _open_ones():
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            os.set_inheritable(descriptor, descriptor in kept)


def close_all_but(kept: set[int]) -> None:
    """Close what this process has open, but for these: nothing may use it any more."""
    for descriptor in _open_ones() - kept:
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            os.close(descriptor)
    _Own.spare = -1


def _open_ones() -> set[int]:
    """Return the descriptors of this process beyond standard input and output."""
    return {int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2}


def with_spare(make: Callable[[], Made]) -> Made:
    """Return what *make* opens, in the place of the spare descriptor if need be.

    Raises OSError.
    """
    try:
        made = make()
    except OSError as error:
        if not is_shortage(error) or _Own.spare < 0:
            raise
        _close_spare()
        try:
            return make()
        except OSError:
            refill()
            raise
    refill()
    return made


def accept(listener: socket.socket) -> socket.socket | None:
    """Return the next connection, None if there is none.

    One is accepted also when descriptors have run out: `refill` tells whether they have,
    and a caller that can do without the connection closes it.
    """
    try:
        return with_spare(listener.accept)[0]
    except OSError as error:
        if is_shortage(error):
            pause()  # the listening socket stays ready: do not spin
        return None


def receive(
    sock: socket.socket, size_bytes: int, most: int, how: int = 0
) -> tuple[bytes, list[int], int]:
    """Return a message, its descriptors, which no program inherits, and its flags.

    `socket.recv_fds` takes no notice of *how*.  Raises OSError.
    """
    ints = array.array("i")
    room = socket.CMSG_LEN(most * ints.itemsize)
    message, ancillary, flags, _ = sock.recvmsg(size_bytes, room, how | _CLOSE_ON_EXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            ints.frombytes(content[: len(content) - len(content) % ints.itemsize])
    return message, list(ints), flags


def is_ready(descriptor: int, event: int, limit_s: float = 0.0) -> bool:
    """Return whether a descriptor is ready (poll(2)), at the latest after *limit_s*.

    select(2) takes no number beyond 1023, and a process of ours may have more.
    """
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(limit_s * 1000))


def pause() -> None:
    """Wait a moment, where nothing else can be done about a shortage."""
    select.select([], [], [], PAUSE_S)


def listen_at(
    directory: str, name: str, backlog: int
) -> tuple[socket.socket, tuple[int, int]]:
    """Return a socket of this user that listens at a name, and the identity of that name.

    It takes the place of what had the name.  Raises OSError.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            # By way of /proc a path has no limit of 107 bytes (unix(7)).
            beside = f"/proc/self/fd/{opened}/{name}.{os.getpid()}"
            before = os.umask(0o177)
            try:
                listener.bind(beside)
            finally:
                os.umask(before)
            listener.listen(backlog)
            identity = files.identity(beside)
            # A client that finds the socket finds it listening.
            os.rename(beside, f"/proc/self/fd/{opened}/{name}")
        finally:
            os.close(opened)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener, identity
