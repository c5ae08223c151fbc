"""Read a file in a process of its own: a share that does not answer holds that one only.

Rule 1: the loop of the supervisor asks for all apps, so it waits for `SOON_S` at most, and
for `SHORTLY_S` while another reader is late (`soon`).  Others wait for `READ_S`.
Rule 2: one that does not answer in time is left to read on.  Who asks again is told at once
that it still reads, or what it has read meanwhile; after `GIVE_UP_S` another one begins.
What was read before somebody asked for the first time is not what he gets.
Rule 3: it has nothing of this process open, so it keeps neither its lock nor its clients.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import select
import signal
import stat
from dataclasses import dataclass, field

from gapless.base import clock, descriptors
from gapless.keeper import identity

MOST_BYTES = 1 << 20
READ_S, SOON_S, SHORTLY_S, GIVE_UP_S = 5.0, 0.5, 0.05, 30.0
REAP_S = 0.5
"""How long to wait for the end of a process that has answered."""
_NUMBER = 4
"""An answer begins with the errno in so many bytes, 0 for none."""
NO_USER = 1 << 16
"""In the place of an errno: there is no such user."""
NO_FILE = (1 << 16) + 1
"""In the place of an errno: it is no regular file."""
LATE = (1 << 16) + 2
"""In the place of an errno: it still reads."""


@dataclass(slots=True)
class _Reader:
    """A process that reads, and what it has written so far."""

    pid: int
    read_end: int
    since: float
    pieces: list[bytes] = field(default_factory=list)

    def answer(self, wait_s: float) -> bytes | None:
        """Return all that it writes until it ends; None if that takes longer."""
        poll = select.poll()
        poll.register(self.read_end, select.POLLIN)
        deadline = clock.monotonic() + wait_s
        while poll.poll(max(0.0, deadline - clock.monotonic()) * 1000):
            piece = os.read(self.read_end, 1 << 16)
            if not piece:
                return b"".join(self.pieces)
            self.pieces.append(piece)
        return None

    @property
    def is_late(self) -> bool:
        """Whether it still reads."""
        return self.answer(0.0) is None

    def end(self, wait_s: float = 0.0) -> None:
        """Kill and reap it; one that does not end in time is reaped later."""
        os.close(self.read_end)
        os.kill(self.pid, signal.SIGKILL)
        _unreaped.add(self.pid)
        until = clock.monotonic() + wait_s
        _reap()
        while self.pid in _unreaped and clock.monotonic() < until:
            select.select([], [], [], 0.001)
            _reap()


_slow: dict[tuple[str, str, str], _Reader] = {}
"""By path, user and group: the readers that have not answered in time."""
_unreaped: set[int] = set()
"""Those that did not end at once: a file system of the user's own can hold them."""


def content(path: str, user: str, group: str) -> tuple[int, bytes]:
    """Return errno, or one of the numbers above, and what is in a file."""
    return _content(path, user, group, READ_S)


def soon(path: str, user: str, group: str, *, again: bool) -> tuple[int, bytes]:
    """Return as `content`, without waiting for long: LATE as long as it still reads.

    *again*: who asks has asked before, and gets what was read since.
    """
    _give_up()
    found = _slow.get((path, user, group))
    if found is not None and not again and not found.is_late:
        del _slow[path, user, group]
        found.end()
        found = None
    if found is not None:
        return _content(path, user, group, 0.0)
    others_late = any(each.is_late for each in _slow.values())
    return _content(path, user, group, SHORTLY_S if others_late else SOON_S)


def _content(path: str, user: str, group: str, wait_s: float) -> tuple[int, bytes]:
    asked = (path, user, group)
    reader = _slow.get(asked) or _begin(path, user, group)
    answer = reader.answer(wait_s)
    if answer is None:
        if not _slow:
            atexit.register(_end_all)
        _slow[asked] = reader
        return LATE, b""
    _slow.pop(asked, None)
    reader.end(REAP_S)
    if len(answer) < _NUMBER:
        return errno.EIO, b""
    return int.from_bytes(answer[:_NUMBER]), answer[_NUMBER:]


def _give_up() -> None:
    """End the readers that have had their time."""
    now = clock.monotonic()
    for asked, reader in list(_slow.items()):
        if now - reader.since >= GIVE_UP_S:
            del _slow[asked]
            reader.end()


def _end_all() -> None:
    while _slow:
        _slow.popitem()[1].end()


def _begin(path: str, user: str, group: str) -> _Reader:
    read_end, write_end = os.pipe()
    try:
        # In a test there may be threads; what the child does until it ends needs no lock.
        child = os.fork()
        if child == 0:
            _answer(write_end, path, user, group)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return _Reader(pid=child, read_end=read_end, since=clock.monotonic())


def _reap() -> None:
    for each in tuple(_unreaped):
        with contextlib.suppress(ChildProcessError):
            if not os.waitpid(each, os.WNOHANG)[0]:
                continue
        _unreaped.discard(each)


def _answer(write_end: int, path: str, user: str, group: str) -> None:
    """Read a file as the user, write the answer, and end: the child's side."""
    try:
        descriptors.close_all_but({write_end})
        try:
            identity.find(user, group).assume()
            number, found = 0, _bytes_of(path)
        except LookupError:
            number, found = NO_USER, b""
        except IsADirectoryError:
            number, found = NO_FILE, b""
        except OSError as error:
            number, found = error.errno or errno.EIO, b""
        left = memoryview(number.to_bytes(_NUMBER) + found)
        while left:
            left = left[os.write(write_end, left) :]
    finally:
        os._exit(0)


def _bytes_of(path: str) -> bytes:
    """Return what is in a regular file.  Raises OSError."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        raise IsADirectoryError(errno.EISDIR, "no regular file", path)
    found = b""
    while piece := os.read(opened, 1 << 16):
        found += piece
        if len(found) > MOST_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return found
