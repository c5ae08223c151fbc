"""Print a log file while it grows, also when it is rotated."""

from __future__ import annotations

import os
import stat
import sys
from typing import BinaryIO

from gapless.cli.terminal.log_lines import LogLines
from gapless.cli.terminal.log_text import LogText

TAIL_BYTES = 1 << 20
COMPARED_BYTES = 256
"""A file that has not any more what was printed last was emptied, and is written anew."""


class FollowedLog:
    """One log file, followed by its inode, not by its name."""

    def __init__(
        self,
        path: str,
        out: BinaryIO | None = None,
        *,
        is_raw: bool = False,
        lines: LogLines | None = None,
    ) -> None:
        """Print to *out*, which is standard output by default, in the form of *lines*.

        On a terminal what could steer it is escaped, unless *is_raw*.
        """
        self._lines = lines
        self.path, self._out = path, out or sys.stdout.buffer
        self._text = LogText() if self._out.isatty() and not is_raw else None
        self._file: BinaryIO | None = None
        self._last = b""

    def print_last(self, count: int) -> None:
        """Print the last *count* lines, at most of the last `TAIL_BYTES`."""
        if not self._open():
            return
        assert self._file is not None
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - TAIL_BYTES))
        *ended, rest = self._file.read().split(b"\n")  # \r ends no line of a log
        lines = [each + b"\n" for each in ended] + ([rest] if rest else [])
        if self._lines is not None:
            lines = [each for each in lines if self._lines.is_wanted(each)]
        self._write(b"".join(lines[-count:] if count > 0 else []))
        self._remember()

    def begin_live(self) -> None:
        """Let what comes now have a time."""
        if self._lines is not None:
            self._lines.is_live = True

    def print_rest(self) -> None:
        """Print the last line also where it is not complete: nothing more is read."""
        if self._lines is not None:
            self._print(self._lines.rest())

    def skip(self) -> None:
        """Begin at the end of the file."""
        if self._open():
            assert self._file is not None
            self._file.seek(0, os.SEEK_END)
            self._remember()

    def print_new(self) -> bool:
        """Print what was added, and return whether something was.

        A file that was rotated is read to its end before the next one is opened.
        """
        if self._file is None and not self._open():
            return False
        assert self._file is not None
        if self._was_emptied():
            self._file.seek(0)
            self._last = b""
        piece = self._file.read(TAIL_BYTES)
        if piece:
            self._write(piece)
            self._remember()
            return True
        following = self._next()
        if following is None:
            return False
        rest = self._file.read()  # written between the read and the rotation
        self._write(rest)
        self._file.close()
        self._file, self._last = following, b""
        return True

    def catch_up(self) -> int:
        """Leave out what nobody can read any more; return how many bytes that is.

        It is more than `TAIL_BYTES` behind the end of the file.
        """
        if self._file is None:
            return 0
        behind = os.fstat(self._file.fileno()).st_size - self._file.tell()
        left_out = behind - TAIL_BYTES
        if left_out <= 0:
            return 0
        self._file.seek(left_out, os.SEEK_CUR)
        self._remember()
        return left_out

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _remember(self) -> None:
        """Remember the bytes before the place that is read next."""
        assert self._file is not None
        place = self._file.tell()
        begin = max(0, place - COMPARED_BYTES)
        self._last = os.pread(self._file.fileno(), place - begin, begin)

    def _was_emptied(self) -> bool:
        """Return whether the file was emptied: by `flush`, or by logrotate(8)."""
        assert self._file is not None
        place = self._file.tell()
        begin = place - len(self._last)
        return os.pread(self._file.fileno(), len(self._last), begin) != self._last

    def _next(self) -> BinaryIO | None:
        """Return the file after the open one, if that was rotated to NAME.1 or on."""
        assert self._file is not None
        own = os.fstat(self._file.fileno())
        newer = self.path
        number = 0
        while True:
            name = f"{self.path}.{number}" if number else self.path
            try:
                found = os.stat(name)
            except FileNotFoundError:
                if number:
                    return _opened(self.path)  # the open one was removed
                return None
            if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
                return None if number == 0 else _opened(newer)
            newer, number = name, number + 1

    def _open(self) -> bool:
        self._file = _opened(self.path)
        return self._file is not None

    def _write(self, piece: bytes) -> None:
        if self._lines is not None:
            piece = self._lines.shown(piece)
        self._print(piece)

    def _print(self, piece: bytes) -> None:
        self._out.write(piece if self._text is None else self._text.shown(piece))
        self._out.flush()


def _opened(path: str) -> BinaryIO | None:
    """Open a log; None if there is none, or something that has no lines to look back at.

    An app may have put a FIFO there, at which we would wait for ever.
    """
    try:
        how = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(path, how)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    return None
