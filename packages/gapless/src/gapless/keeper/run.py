"""Start the keeper, and connect to it.

The keeper is the fork of a process that has imported almost nothing: what is imported here
stays in its memory for good.  It is forked twice, so that it is a child of init (or of a
subreaper), not of the supervisor.  It becomes a subreaper itself (prctl(2)): processes that
an instance leaves behind become its children, and it reaps them.

A keeper holds a lock from before it listens until its last moment: a supervisor that died
while it started one is followed by another, which must not put a second beside it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct

from gapless.base import files, peer
from gapless.base.outside import own_directory

_BUSY = b"busy"


def connect(home: str, timeout_s: int = 0) -> socket.socket | None:
    """Return a connection to the keeper of *home*, or None if none is alive.

    Raises BlockingIOError if one takes no connection for *timeout_s*, unless that is 0.
    """
    try:
        return connect_to(home, "keeper.sock", socket.SOCK_SEQPACKET, timeout_s)
    except (ConnectionRefusedError, FileNotFoundError):
        return None


def connect_to(
    directory: str, name: str, kind: socket.SocketKind, timeout_s: int = 0
) -> socket.socket:
    """Return a connection to the Unix-domain socket *name* in a directory.

    By way of /proc its path has no limit of 107 bytes (unix(7)).  Who listens there must be
    our user, or root: nothing is sent to anybody else.  Raises OSError; BlockingIOError if
    nobody accepts for *timeout_s*, unless that is 0; PermissionError for a stranger.
    """
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        limit = struct.pack("ll", timeout_s, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            sock.connect(f"/proc/self/fd/{descriptor}/{name}")
        finally:
            os.close(descriptor)
        _, uid = peer.credentials_of(sock)
        if uid not in (0, os.geteuid()):
            reason = f"a process of the user {uid} listens there"
            raise PermissionError(errno.EPERM, reason, f"{directory}/{name}")
    except BaseException:
        sock.close()
        raise
    return sock


def start(home: str) -> None:
    """Fork a keeper for *home* and return when it listens.

    Does nothing if there is one, which may not listen yet or be about to end.
    Raises OSError if it could not start.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _become_keeper(home, write_end)
    os.close(write_end)
    try:
        os.waitpid(child, 0)
        answer = os.read(read_end, 4096)
    finally:
        os.close(read_end)
    if answer not in (b"ok", _BUSY):
        raise OSError(f"the keeper did not start: {answer.decode() or 'it died'}")


def _become_keeper(home: str, write_end: int) -> None:
    """Run as the keeper; never returns."""
    is_ready = False
    try:
        _close_all_but(write_end)
        os.setsid()
        if os.fork():
            os._exit(0)
        own_directory.check(home)
        if not _lock(home):
            os.write(write_end, _BUSY)
            os._exit(0)
        from gapless.keeper.keeper import prepare, run  # noqa: PLC0415 - fork first

        keeper = prepare(home)
        with contextlib.suppress(BrokenPipeError):  # the next supervisor will find it
            os.write(write_end, b"ok")
        os.close(write_end)
        is_ready = True
        run(keeper, home)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - reported, then exit
        if not is_ready:
            os.write(write_end, f"{type(error).__name__}: {error}".encode()[:4000])
        from gapless.base import events  # noqa: PLC0415 - only for a keeper that fails

        shown = events.traceback_of(error)
        os.write(2, b"gapless keeper: " + shown.encode(errors="replace"))
    finally:
        os._exit(1)


def _lock(home: str) -> bool:
    """Take the lock for as long as this process lives; return whether it was free."""
    descriptor = files.open_own(f"{home}/keeper.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _close_all_but(kept: int) -> None:
    """Close what the supervisor had open, above all its lock."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor != kept:
            try:
                os.close(descriptor)
            except OSError:
                continue  # the descriptor of the listing itself
