"""A log file: whole lines, appended; moved aside when it is large or old.

Rule: a chunk that the disk does not take, or takes in part, stays in memory until it does:
no line is lost or written twice, also if another program moves, empties or removes the file
meanwhile.
"""

from __future__ import annotations

import os
import stat

NOWHERE = ("NULL", "/dev/null")


class LogFile:
    """A file that is appended to, and moved aside when it is large or old.

    `path` becomes `path.1`, that becomes `path.2`... up to *keep*.  By age: a file
    holds what was written in one period of *rotate_s*, counted from the epoch: a day
    ends at midnight UTC, whenever the keeper was started.  0 means never.  The three
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
        self._chunk = b""
        """What waits to be written: whole lines."""
        # Places in the chunk:
        self._written = 0  # what is before is in a file
        self._whole = 0  # what is before is in a file as whole lines
        self._end = 0  # what is before fits into the file that is open

    def write(self, lines: bytes, now_wall: float) -> bool:
        """Append whole lines; False if the disk did not take all: `flush` continues.

        Only after `flush` returned True.
        """
        if self.discards:
            return True
        assert not self._chunk, "one chunk at a time"
        self._chunk, self._written, self._whole = lines, 0, 0
        return self.flush(now_wall)

    def flush(self, now_wall: float) -> bool:
        """Append what waits; return whether nothing is left.  Never raises OSError."""
        if not self._chunk:
            return True
        try:
            with memoryview(self._chunk) as view:
                while self._written < len(view):
                    self._write_some(view, now_wall)
        except OSError as error:
            self.error = os.strerror(error.errno or 0).lower()
            if self._written == self._whole:
                self.close()  # opened again at the next try: its directory may be back
            return False
        self._chunk, self.error = b"", ""
        return True

    def _write_some(self, view: memoryview, now_wall: float) -> None:
        if self._written != self._whole and self._is_removed():
            self.close()
            self._written = self._whole  # half a line is lost with it: write it again
        if self._written == self._whole:
            self._end = self._prepare(now_wall)
        self._written += os.write(self._descriptor, view[self._written : self._end])
        if self._written == self._end:
            self._whole = self._written
        else:
            self._whole = self._chunk.rfind(b"\n", 0, self._written) + 1

    def _is_removed(self) -> bool:
        """Return whether the file was removed or emptied, perhaps to make room."""
        try:
            found = os.fstat(self._descriptor)
        except OSError:  # the file system is gone
            return True
        half_line_bytes = self._written - self._whole
        return found.st_nlink == 0 or found.st_size < half_line_bytes

    def _prepare(self, now_wall: float) -> int:
        """Open the file, rotate it if due; return the end of what fits into it."""
        found = self._open()
        whole_chunk = len(self._chunk)
        if not stat.S_ISREG(found.st_mode):
            return whole_chunk
        if found.st_size and self._is_old(found, now_wall):
            found = self._rotate(found)
        if not self.rotate_bytes:
            return whole_chunk
        end = self._fitting(found.st_size)
        if end == self._written:  # not even one line: full
            found = self._rotate(found)
            end = self._fitting(found.st_size)
        if end == self._written:  # a line larger than a file, or no rotation
            end = self._chunk.index(b"\n", self._written) + 1
        return end

    def _fitting(self, size_bytes: int) -> int:
        """Return the end of the last line that fits into a file of that size."""
        limit = self._written + max(0, self.rotate_bytes - size_bytes)
        if limit >= len(self._chunk):
            return len(self._chunk)
        newline = self._chunk.rfind(b"\n", self._written, limit)
        return self._written if newline < 0 else newline + 1

    def _is_old(self, found: os.stat_result, now_wall: float) -> bool:
        if not self.rotate_s:
            return False
        return found.st_mtime // self.rotate_s < now_wall // self.rotate_s

    def _open(self) -> os.stat_result:
        """Open the file unless it is open; again if it was moved (logrotate(8))."""
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
        # A terminal must not become the keeper's own, a FIFO must not block it.
        flags |= os.O_NOCTTY | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o640)
        return os.fstat(self._descriptor)

    def _rotate(self, found: os.stat_result) -> os.stat_result:
        """Move the file aside; one that cannot be moved continues to grow."""
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
        free = 1  # a crash between two renames leaves a gap: files beyond it stay
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
