"""A log file: whole lines, appended; moved aside when it is large or old.

Rule: a chunk that the disk does not take, or takes half of, stays here until it does:
no line is lost or written twice, whatever anybody does to the file meanwhile.
"""

from __future__ import annotations

import os
import stat
from typing import Protocol

NOWHERE = ("NULL", "/dev/null")


class Sink(Protocol):
    """What takes whole lines, one chunk at a time."""

    @property
    def discards(self) -> bool:
        """Whether nothing is kept."""

    def write(self, lines: bytes, now_wall: float) -> bool:
        """Append whole lines; False if not all was taken: `flush` goes on."""

    def flush(self, now_wall: float) -> bool:
        """Append what waits; tell whether nothing is left."""


class Both:
    """Two files that get the same lines."""

    def __init__(self, first: LogFile, second: LogFile) -> None:
        self._files = (first, second)

    @property
    def discards(self) -> bool:
        """Whether nothing is kept."""
        return all(file.discards for file in self._files)

    def write(self, lines: bytes, now_wall: float) -> bool:
        """Append whole lines to both; only after `flush` said that nothing waits."""
        taken = [file.write(lines, now_wall) for file in self._files]
        return all(taken)

    def flush(self, now_wall: float) -> bool:
        """Append what waits; tell whether nothing is left in either."""
        taken = [file.flush(now_wall) for file in self._files]
        return all(taken)


class LogFile:
    """A file that is appended to, and moved aside when it is large or old.

    `path` becomes `path.1`, that becomes `path.2`... up to *keep*.  By age: a file
    holds what was written in one period of *rotate_s*, counted from the epoch, so that
    a day ends at midnight UTC whoever was restarted when; 0 means never.  The three
    settings may be changed at any time.
    """

    def __init__(
        self, path: str, *, rotate_bytes: int, rotate_s: float, keep: int
    ) -> None:
        self.path = path
        self.error = ""
        """Why nothing can be written now; empty if it can."""
        self.discards = path in NOWHERE
        self.rotate_bytes, self.rotate_s, self.keep = rotate_bytes, rotate_s, keep
        self._descriptor = -1
        self._waiting = b""
        self._written = 0  # how much of `_waiting` is in the file
        self._whole = 0  # how much of that are whole lines
        self._end = 0  # how much of `_waiting` belongs into this file

    def write(self, lines: bytes, now_wall: float) -> bool:
        """Append whole lines; False if the disk did not take all: `flush` goes on.

        Only after `flush` said that nothing waits.
        """
        if self.discards:
            return True
        assert not self._waiting, "one chunk at a time"
        self._waiting, self._written, self._whole = lines, 0, 0
        return self.flush(now_wall)

    def flush(self, now_wall: float) -> bool:
        """Append what waits; tell whether nothing is left.  Never raises OSError."""
        if not self._waiting:
            return True
        try:
            with memoryview(self._waiting) as view:
                while self._written < len(view):
                    self._write_some(view, now_wall)
        except OSError as error:
            self.error = os.strerror(error.errno or 0).lower()
            if self._written == self._whole:
                self.close()  # opened anew at the next try: its directory may be back
            return False
        self._waiting, self.error = b"", ""
        return True

    def _write_some(self, view: memoryview, now_wall: float) -> None:
        if self._written != self._whole and self._is_removed():
            self.close()
            self._written = self._whole  # the half line went with it: once more
        if self._written == self._whole:
            self._end = self._prepare(now_wall)
        self._written += os.write(self._descriptor, view[self._written : self._end])
        if self._written == self._end:
            self._whole = self._written
        else:
            self._whole = self._waiting.rfind(b"\n", 0, self._written) + 1

    def _is_removed(self) -> bool:
        """Tell whether somebody made room by removing or emptying the file."""
        try:
            found = os.fstat(self._descriptor)
        except OSError:  # the file system is gone
            return True
        half_line = self._written - self._whole
        return found.st_nlink == 0 or found.st_size < half_line

    def _prepare(self, now_wall: float) -> int:
        """Have the right file open; return how much of what waits belongs into it."""
        found = self._open()
        everything = len(self._waiting)
        if not stat.S_ISREG(found.st_mode):
            return everything
        if found.st_size and self._is_old(found, now_wall):
            found = self._rotate(found)
        if not self.rotate_bytes:
            return everything
        end = self._fitting(found.st_size)
        if end == self._written:  # not even one line: full
            found = self._rotate(found)
            end = self._fitting(found.st_size)
        if end == self._written:  # a line as large as a file, or no rotation
            end = self._waiting.index(b"\n", self._written) + 1
        return end

    def _fitting(self, size: int) -> int:
        """Return the end of the last line that fits into a file of *size* bytes."""
        limit = self._written + max(0, self.rotate_bytes - size)
        if limit >= len(self._waiting):
            return len(self._waiting)
        newline = self._waiting.rfind(b"\n", self._written, limit)
        return self._written if newline < 0 else newline + 1

    def _is_old(self, found: os.stat_result, now_wall: float) -> bool:
        if not self.rotate_s:
            return False
        return found.st_mtime // self.rotate_s < now_wall // self.rotate_s

    def _open(self) -> os.stat_result:
        """Open the file unless it is; anew if somebody moved it (logrotate(8))."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            self.close()
        else:
            if self._descriptor >= 0 and os.path.samestat(
                found, os.fstat(self._descriptor)
            ):
                return found
            self.close()
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        # A terminal must not become ours, a FIFO must not stop us.
        flags |= os.O_NOCTTY | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o640)
        return os.fstat(self._descriptor)

    def _rotate(self, found: os.stat_result) -> os.stat_result:
        """Move the file aside; one that cannot be moved grows on."""
        try:
            self._move_aside()
        except OSError:
            return found
        self.close()
        return self._open()

    def _move_aside(self) -> None:
        if self.keep < 1:
            os.unlink(self.path)
            return
        free = 1  # a crash between two renames leaves a gap: no more is moved than that
        while free < self.keep and os.path.lexists(f"{self.path}.{free}"):
            free += 1
        for number in range(free - 1, 0, -1):
            os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        os.replace(self.path, f"{self.path}.1")

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
