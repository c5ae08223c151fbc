"""Start the keeper and its guardian, and connect to the keeper.

Both are forks of a process that has imported almost nothing: what is imported here stays in
their memory for good.  The guardian is forked twice, so that it is a child of init (or of a
subreaper), not of the supervisor; the keeper is its child.  Each is a subreaper (prctl(2)):
processes that an instance leaves behind become children of the keeper, which reaps them.
Those that come later are programs of their own (`guardian.program`).

Both hold a lock from before the keeper listens until its last moment: a supervisor that
died while it started one is followed by another, which must not put a second beside it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct

from gapless.base import descriptors, files
from gapless.base.kernel import peer
from gapless.base.outside import faults, own_directory
from gapless.keeper import process_title
from gapless.keeper.guardian import frames, place, process, program, table
from gapless.keeper.guardian.frames import Frame
from gapless.keeper.guardian.guardian import Guardian
from gapless.keeper.guardian.reserve import Reserve

_BUSY = b"busy"


class KeeperDiedError(OSError):
    """A keeper was killed before it could say that it listens; the next one may live."""


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
    Raises OSError if it could not start, KeeperDiedError if it was killed meanwhile.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _become_guardian(home, write_end)
    os.close(write_end)
    try:
        os.waitpid(child, 0)
        answer = os.read(read_end, 4096)
    finally:
        os.close(read_end)
    if not answer:
        raise KeeperDiedError("the keeper did not start: it died")
    if answer not in (b"ok", _BUSY):
        raise OSError(f"the keeper did not start: {answer.decode()}")


def _become_guardian(home: str, write_end: int) -> None:
    """Run as the guardian of a new keeper; never returns."""
    try:
        _close_all_but(write_end)
        os.setsid()
        if os.fork():
            os._exit(0)
        own_directory.check(home)
        lock = _lock(home)
        if lock < 0:
            os.write(write_end, _BUSY)
            os._exit(0)
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process_title.become_subreaper()
        keeper = os.fork()
        if keeper == 0:
            near.close()
            _become_keeper(home, write_end, far, lock)
        far.close()
        os.close(write_end)
        _guard(home, near, keeper)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - reported, then exit
        with contextlib.suppress(OSError):
            os.write(write_end, f"{type(error).__name__}: {error}".encode()[:4000])
        faults.write(f"gapless guardian: {faults.traceback_of(error)}")
    finally:
        os._exit(1)


def _guard(
    home: str,
    line: socket.socket,
    keeper: int,
    entries: dict[str, table.Entry] | None = None,
) -> None:
    """Be the guardian of a keeper, until the last one has ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    process_title.become_subreaper()
    process_title.set_title("gapless guardian")
    descriptors.prepare()

    def start_next(far: socket.socket) -> int:
        return program.start([*program.installed(), program.NEXT, home, "{line}"], far)

    Guardian(line, keeper, start_next, entries).serve()


def _become_keeper(home: str, write_end: int, line: socket.socket, lock: int) -> None:
    """Run as the first keeper; never returns."""
    is_ready = False
    try:
        os.setsid()
        reserve = _reserve(home, line)
        reserve.put("lock", b"", lock)
        from gapless.keeper.keeper import prepare, run  # noqa: PLC0415 - fork first

        keeper = prepare(home, reserve)
        with contextlib.suppress(BrokenPipeError):  # the next supervisor will find it
            os.write(write_end, b"ok")
        os.close(write_end)
        is_ready = True
        run(keeper, home, reserve)
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - reported, then exit
        if not is_ready:
            os.write(write_end, f"{type(error).__name__}: {error}".encode()[:4000])
        faults.write(f"gapless keeper: {faults.traceback_of(error)}")
    finally:
        os._exit(1)


# --- those that come later ----------------------------------------------------------------


def main(arguments: list[str]) -> None:
    """Be what the first word says (`guardian.program`)."""
    word, *rest = arguments
    if word == program.TRIAL:
        _try(socket.socket(fileno=int(rest[0])))
        return
    home, number, *more = rest
    line = socket.socket(fileno=int(number))
    line.set_inheritable(False)
    if word == program.GUARDIAN:
        if more[1:]:  # it is another version now, and has everything to be given
            with contextlib.suppress(OSError):  # its keeper has died
                frames.send(line, Frame(kind="answer"))
        entries = table.read(int(more[2])) if more[2:] else None
        _guard(home, line, int(more[0]), entries)
    else:
        _go_on(home, line, renewed=word == program.RENEWED)
    os._exit(0)


def _go_on(home: str, line: socket.socket, *, renewed: bool) -> None:
    """Be a keeper that goes on with what one before had.

    One that is not given that ends: its guardian starts another, if it lives.
    """
    from gapless.keeper.keeper import (  # noqa: PLC0415 - the guardian has no need of it
        prepare,
        run,
        scratch_of,
    )

    reserve = _reserve(home, line)
    guardian_began = process.began_at(reserve.guardian_pid)
    try:
        reserve.receive_all()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the guardian has died too: the next supervisor finds what serves
    except OSError as error:
        hangs = isinstance(error, BlockingIOError)
        why = "its guardian answers nothing" if hangs else error.strerror
        faults.write(f"gapless keeper: it could not go on with what there is: {why}")
        return
    scratch = scratch_of(reserve)
    if renewed:
        reserve.guardian_pid = place.guardian_in(scratch)
    elif place.is_anothers(scratch, reserve.guardian_pid, guardian_began):
        reserve.end()  # it was stopped, and another one has its place
        return
    keeper = prepare(home, reserve)
    if renewed:
        keeper.renewed()
    run(keeper, home, reserve)


def _try(line: socket.socket) -> None:
    """Say whether this version can go on with what there is."""
    from gapless.keeper.trial import why_not  # noqa: PLC0415 - only for a trial

    reason = why_not(frames.receive(line).value)
    answer = Frame(
        kind="answer",
        name=program.TAKES_TABLE,
        number=bool(reason),
        value=reason.encode()[:4000],
    )
    frames.send(line, answer)


def _reserve(home: str, line: socket.socket) -> Reserve:
    """Return the keeper's end of a line, by which it finds another guardian if need be."""

    def start_guardian() -> tuple[socket.socket, int]:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [*program.installed(), program.GUARDIAN, home, "{line}"]
        with far:
            try:
                return near, program.start([*words, str(os.getpid())], far)
            except OSError:
                near.close()
                raise

    reserve = Reserve(line, start_guardian)
    # Also of one that has died meanwhile.
    reserve.guardian_pid, _ = peer.credentials_of(line)
    return reserve


# --- the lock -----------------------------------------------------------------------------


def _lock(home: str) -> int:
    """Take the lock for as long as this process lives; return -1 if it was not free."""
    descriptor = files.open_own(f"{home}/keeper.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor


def _close_all_but(kept: int) -> None:
    """Close what the supervisor had open, above all its lock."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor != kept:
            try:
                os.close(descriptor)
            except OSError:
                continue  # the descriptor of the listing itself
