"""Read the files of variables of an app, with the rights of the app's user.

Rule 1: what the app's user may not read is not read for it.  Its directory may be the
user's own, and a link there must not show a file of root's.
Rule 2: a read cannot hang for long: a process of its own does it, and is killed in time.
Rule 3: no value is in a message, a log, a note or a state: only the program gets them.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
from collections.abc import Iterable

from gapless.base import clock
from gapless.base.errors import MisuseError, UnavailableError
from gapless.keeper import identity
from gapless.supervisor.observe.variables import variable_lines

MOST_BYTES = 1 << 20
READ_S, REAP_S = 5.0, 0.5
"""How long the reading of one file may take."""
OPTIONAL = "-"
_NUMBER = 4
"""An answer begins with the errno in so many bytes, 0 for none."""
_NO_USER = 1 << 16
"""In the place of an errno: there is no such user."""
_NO_FILE = (1 << 16) + 1
"""In the place of an errno: it is no regular file."""


def read(
    files: Iterable[str], directory: str, *, user: str = "", group: str = ""
) -> dict[str, str]:
    """Return the variables of files; those of a later file replace those of an earlier.

    A path is relative to *directory*; one that begins with `-` may be missing.  Raises
    MisuseError, UnavailableError.
    """
    found: dict[str, str] = {}
    for each in files:
        path = os.path.normpath(os.path.join(directory, each.removeprefix(OPTIONAL)))
        number, content = _content(path, user, group)
        if number in (errno.ENOENT, errno.ENOTDIR) and each.startswith(OPTIONAL):
            continue
        what = f"could not read the environment file {path}"
        if number:
            raise _failure(what, number, user)
        try:
            text = content.decode(errors="surrogateescape")
            found |= variable_lines.parse(text)
        except variable_lines.WrongLineError as error:
            raise MisuseError(
                f"{what}: {error}; write one NAME=VALUE a line, # begins a comment"
            ) from None
    return found


def _failure(what: str, number: int, user: str) -> Exception:
    if number == errno.ENOENT:
        return MisuseError(
            f"{what}: there is none; a - in front of the path says that it may be missing"
        )
    if number == errno.EACCES:
        return MisuseError(
            f"{what}: {user or 'this user'} may not; it is read as the user of the app: "
            "let that user read it, or its group (chgrp, chmod g+r), and enter the "
            "directories above it"
        )
    if number == _NO_USER:
        return MisuseError(f"there is no user or group {user}")
    if number == _NO_FILE:
        return MisuseError(f"{what}: it is no regular file")
    if number == errno.EFBIG:
        return MisuseError(f"{what}: it has more than {MOST_BYTES} bytes")
    if number == errno.ETIMEDOUT:
        return UnavailableError(f"{what}: it cannot be read within {READ_S:g} s")
    return UnavailableError(f"{what}: {os.strerror(number).lower()}")


def _content(path: str, user: str, group: str) -> tuple[int, bytes]:
    """Return errno, or one of the numbers above, and what is in a file."""
    read_end, write_end = os.pipe()
    try:
        # In a test there may be threads; what the child does until it ends needs no lock.
        child = os.fork()
        if child == 0:
            _answer(write_end, path, user, group)
        os.close(write_end)
        write_end = -1
        try:
            answer = _received(read_end)
        finally:
            os.kill(child, signal.SIGKILL)
            _reap(child)
    finally:
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)
    if len(answer) < _NUMBER:
        return errno.ETIMEDOUT, b""
    return int.from_bytes(answer[:_NUMBER]), answer[_NUMBER:]


_unreaped: set[int] = set()
"""Children that did not end at once: a file system of the user's own can hold them."""


def _reap(child: int) -> None:
    """Reap a child that was killed, and those before it; wait for a moment at most."""
    _unreaped.add(child)
    until = clock.monotonic() + REAP_S
    while child in _unreaped and clock.monotonic() < until:
        for each in tuple(_unreaped):
            if os.waitpid(each, os.WNOHANG)[0]:
                _unreaped.discard(each)
        if child in _unreaped:
            select.select([], [], [], 0.001)


def _received(read_end: int) -> bytes:
    """Return what the child writes until it ends; nothing if that takes too long."""
    pieces: list[bytes] = []
    deadline = clock.monotonic() + READ_S
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    while (left_s := deadline - clock.monotonic()) > 0:
        if not poll.poll(left_s * 1000):
            break
        if not (piece := os.read(read_end, 1 << 16)):
            return b"".join(pieces)
        pieces.append(piece)
    return b""


def _answer(write_end: int, path: str, user: str, group: str) -> None:
    """Read a file as the user, write the answer, and end: the child's side."""
    try:
        try:
            identity.find(user, group).assume()
            number, content = 0, _bytes_of(path)
        except LookupError:
            number, content = _NO_USER, b""
        except IsADirectoryError:
            number, content = _NO_FILE, b""
        except OSError as error:
            number, content = error.errno or errno.EIO, b""
        left = memoryview(number.to_bytes(_NUMBER) + content)
        while left:
            left = left[os.write(write_end, left) :]
    finally:
        os._exit(0)


def _bytes_of(path: str) -> bytes:
    """Return what is in a regular file.  Raises OSError."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        raise IsADirectoryError(errno.EISDIR, "no regular file", path)
    content = b""
    while piece := os.read(opened, 1 << 16):
        content += piece
        if len(content) > MOST_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return content
