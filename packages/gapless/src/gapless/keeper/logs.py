"""Log pipes and log files: no line is lost, and a program waits for the disk at most.

Rule 1: what was read from a pipe is written before more is read.
Rule 2: a disk that is full stops the reading, not the keeper: the program then waits on
its full pipe until there is room.
Rule 3: a line is whole: it gets its prefix when its first byte arrives, and reaches the
file with its newline, or after `LONGEST_LINE_BYTES`, or when the program ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from enum import Enum

from gapless.base import clock

READ_BYTES = 1 << 20
PIPE_BYTES = 1 << 20
LONGEST_LINE_BYTES = 64 << 10
_F_SETPIPE_SZ = 1031
_DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS)
NOWHERE = ("NULL", "/dev/null")


class Status(Enum):
    """How a stream is after it was pumped."""

    OPEN = "open"
    BLOCKED = "blocked"  #: the disk takes nothing; ask `retry` later
    ENDED = "ended"


def make_pipe() -> tuple[int, int]:
    """Return the ends of a pipe that outlives its reader.

    The write end is opened for reading too, by way of /proc, so that the program is its
    own reader: it never gets EPIPE if the keeper dies, it waits (pipe(7)).
    """
    read_end, plain = os.pipe()
    write_end = os.open(f"/proc/self/fd/{plain}", os.O_RDWR)
    os.close(plain)
    os.set_blocking(read_end, False)
    try:
        fcntl.fcntl(write_end, _F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # beyond the user's quota of pipe pages: the default size will do
    return read_end, write_end


class LogFile:
    """A file that is appended to, and moved aside when it is large or old."""

    def __init__(
        self, path: str, *, rotate_bytes: int, rotate_s: float, keep: int
    ) -> None:
        self.path = path
        self._rotate_bytes, self._rotate_s, self._keep = rotate_bytes, rotate_s, keep
        self._descriptor = -1
        self._size = 0
        self._born = 0.0
        self._unwritten = b""

    def write(self, content: bytes, now_wall: float) -> bool:
        """Append *content*; False if the disk did not take all: `flush` goes on."""
        if self.path in NOWHERE:
            return True
        self._unwritten += content
        return self.flush(now_wall)

    def flush(self, now_wall: float) -> bool:
        """Append what waits; tell whether nothing is left."""
        try:
            if self._unwritten:
                self._open(now_wall)
            while self._unwritten:
                count = os.write(self._descriptor, self._unwritten)
                self._size += count
                self._unwritten = self._unwritten[count:]
        except OSError as error:
            if error.errno not in _DISK_TROUBLE:
                self.close()  # opened anew at the next try: its directory may be back
            return False
        return True

    def _open(self, now_wall: float) -> None:
        if self._descriptor >= 0 and not self._is_ours():
            self.close()
        if self._descriptor >= 0 and self._is_due(now_wall):
            self.close()
            self._move_aside()
        if self._descriptor < 0:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o640)
            found = os.fstat(self._descriptor)
            self._size = found.st_size
            self._born = now_wall if not found.st_size else found.st_mtime

    def _is_ours(self) -> bool:
        """Tell whether the path still names the file that is open (logrotate(8))."""
        try:
            there, here = os.stat(self.path), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def _is_due(self, now_wall: float) -> bool:
        if not self._size:
            return False
        large = self._rotate_bytes and self._size >= self._rotate_bytes
        old = self._rotate_s and now_wall - self._born >= self._rotate_s
        return bool(large or old)

    def _move_aside(self) -> None:
        if self._keep < 1:
            os.unlink(self.path)
            return
        for number in range(self._keep - 1, 0, -1):
            if os.path.exists(f"{self.path}.{number}"):
                os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        os.replace(self.path, f"{self.path}.1")

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Stream:
    """One output of one instance, on its way from a pipe to a file."""

    def __init__(
        self,
        read_fd: int,
        file: LogFile,
        *,
        app: str,
        generation: int,
        ordinal: int,
        name: str,
        format: str,  # noqa: A002 - the word that the configuration uses
        date_format: str,
    ) -> None:
        self.read_fd, self.file = read_fd, file
        self._app, self._generation, self._ordinal = app, generation, ordinal
        self._name, self._format, self._date_format = name, format, date_format
        self._partial = b""
        self._ended = False

    def pump(self, now_wall: float) -> Status:
        """Move what waits in the pipe to the file."""
        try:
            chunk = os.read(self.read_fd, READ_BYTES)
        except BlockingIOError:
            return Status.OPEN
        self._ended = not chunk
        lines = self._whole_lines(chunk)
        if lines and not self.file.write(self._render(lines, now_wall), now_wall):
            return Status.BLOCKED
        return Status.ENDED if self._ended else Status.OPEN

    def retry(self, now_wall: float) -> Status:
        """Try again to write what the disk did not take."""
        if not self.file.flush(now_wall):
            return Status.BLOCKED
        return Status.ENDED if self._ended else Status.OPEN

    def _whole_lines(self, chunk: bytes) -> bytes:
        """Return complete lines; an endless one is broken, the last one completed."""
        lines, newline, rest = (self._partial + chunk).rpartition(b"\n")
        lines += newline
        if len(rest) > LONGEST_LINE_BYTES or (rest and not chunk):
            lines, rest = lines + rest + b"\n", b""
        self._partial = rest
        return lines

    def finish(self, now_wall: float) -> bool:
        """Move all that is left; a line without an end counts as whole.

        For a pipe that others may hold still.  Tell whether the disk took it.
        """
        while True:
            try:
                chunk = os.read(self.read_fd, READ_BYTES)
            except BlockingIOError:
                chunk = b""
            lines = self._whole_lines(chunk)
            if lines and not self.file.write(self._render(lines, now_wall), now_wall):
                return False
            if not chunk:
                return True

    def _render(self, lines: bytes, now_wall: float) -> bytes:
        if self._format == "json":
            return self._render_json(lines, now_wall)
        prefix = self._prefix(now_wall)
        body = lines[:-1].replace(b"\n", b"\n" + prefix)
        return prefix + body + b"\n"

    def _prefix(self, now_wall: float) -> bytes:
        if self._date_format:
            date = time.strftime(self._date_format, time.localtime(now_wall))
            return f"{date}: ".encode()
        place = f"{self._generation}.{self._ordinal} {self._name}"
        return f"{clock.stamp(now_wall)} {place} | ".encode()

    def _render_json(self, lines: bytes, now_wall: float) -> bytes:
        head = {
            "time": clock.stamp(now_wall),
            "app": self._app,
            "generation": self._generation,
            "ordinal": self._ordinal,
            "stream": self._name,
        }
        texts = lines[:-1].decode(errors="replace").split("\n")
        rendered = [
            json.dumps(head | {"message": text}, ensure_ascii=False) for text in texts
        ]
        return ("\n".join(rendered) + "\n").encode(errors="replace")

    def close(self) -> None:
        """Close the read end."""
        os.close(self.read_fd)
