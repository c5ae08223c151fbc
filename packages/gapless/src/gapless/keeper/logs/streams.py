"""Log pipes, and what is made of their bytes on the way to a file.

Rule 1: what was read from a pipe is in the file before more is read; only one chunk per
file is ever in our hands.
Rule 2: a disk that takes nothing stops the reading, not the keeper: the program then
waits on its full pipe until there is room, and no line is lost or written twice.
Rule 3: a file holds whole lines.  A line gets its time when its end arrives; one beyond
`LONGEST_LINE_BYTES` is broken there, and the last one needs no end.
"""

from __future__ import annotations

import fcntl
import os
from enum import Enum

from gapless.keeper.logs.log_file import LogFile, Sink
from gapless.keeper.logs.rendering import Rendering

__all__ = ["LogFile", "Status", "Stream", "make_pipe"]

PIPE_BYTES = 1 << 20
READ_BYTES = 32 << 10
"""One chunk.  Buffers above 128 KiB go back to the kernel each time: half as fast."""
READS_PER_PUMP = PIPE_BYTES // READ_BYTES
"""Then the others have their turn."""
LONGEST_LINE_BYTES = 64 << 10
_PIPE_BYTES_AS_MADE = 64 << 10  # pipe(7)
_F_SETPIPE_SZ = 1031


class Status(Enum):
    """How a stream is after it was pumped."""

    OPEN = "open"  #: wait for more
    BLOCKED = "blocked"  #: the file takes nothing; stop listening, `retry` in a second
    ENDED = "ended"  #: nobody will write any more, and all is in the file


def make_pipe() -> tuple[int, int]:
    """Return read end (non-blocking) and write end of a pipe that outlives its reader.

    The write end is opened for reading too, by way of /proc, so that the program is its
    own reader: it never gets EPIPE if the keeper dies, it waits (pipe(7)).
    """
    read_end, plain = os.pipe()
    try:
        flags = os.O_RDWR | os.O_CLOEXEC
        write_end = os.open(f"/proc/self/fd/{plain}", flags)
    except OSError:
        os.close(read_end)
        raise
    finally:
        os.close(plain)
    os.set_blocking(read_end, False)
    size = PIPE_BYTES
    while size > _PIPE_BYTES_AS_MADE:
        try:
            fcntl.fcntl(write_end, _F_SETPIPE_SZ, size)
            break
        except OSError:  # beyond pipe-max-size, or the user's quota of pipe pages
            size //= 2
    return read_end, write_end


class Stream:
    """One output of one instance, on its way from a pipe to a file."""

    def __init__(
        self,
        read_fd: int,
        file: Sink,
        rendering: Rendering,
    ) -> None:
        self.read_fd, self.file, self._rendering = read_fd, file, rendering
        self._rest = b""
        self._finishing = False
        self.closed = False

    def pump(self, now_wall: float) -> Status:
        """Move what is in the pipe to the file, a megabyte at most."""
        if not self.file.flush(now_wall):
            return Status.BLOCKED
        for _ in range(READS_PER_PUMP):
            try:
                chunk = os.read(self.read_fd, READ_BYTES)
            except BlockingIOError:
                break
            if not self._write(self._take(chunk, ended=not chunk), now_wall):
                return Status.BLOCKED
            if not chunk:
                return Status.ENDED
        return Status.OPEN

    def retry(self, now_wall: float) -> Status:
        """Go on after BLOCKED."""
        if self._finishing:
            return Status.ENDED if self.finish(now_wall) else Status.BLOCKED
        return self.pump(now_wall)

    def finish(self, now_wall: float) -> bool:
        """Move all that is left; the last line counts as whole.

        For a pipe that others may still hold.  False if the disk did not take it: then
        `retry` goes on until it says ENDED.
        """
        self._finishing = True
        for _ in range(2):  # who writes on and on does not keep us
            status = self.pump(now_wall)
            if status is not Status.OPEN:
                return status is Status.ENDED
        return self._write(self._take(b"", ended=True), now_wall)

    def close(self) -> None:
        """Close the read end; the stream is over then."""
        os.close(self.read_fd)
        self.closed = True

    def _take(self, chunk: bytes, *, ended: bool) -> bytes:
        """Return the lines that are whole now, and keep the rest."""
        pending = self._rest + chunk if self._rest else chunk
        end = pending.rfind(b"\n") + 1
        lines, rest = (
            (pending, b"") if end == len(pending) else (pending[:end], pending[end:])
        )
        while len(rest) > LONGEST_LINE_BYTES:
            cut = _end_of_character(rest, LONGEST_LINE_BYTES)
            lines += rest[:cut] + b"\n"
            rest = rest[cut:]
        if rest and ended:
            lines += rest + b"\n"
            rest = b""
        self._rest = rest
        return lines

    def _write(self, lines: bytes, now_wall: float) -> bool:
        if not lines or self.file.discards:
            return True
        return self.file.write(self._rendering.render(lines, now_wall), now_wall)


def _end_of_character(text: bytes, limit: int) -> int:
    """Return where to cut UTF-8 *text* at *limit* without cutting a character."""
    for cut in range(limit, limit - 4, -1):
        if text[cut] & 0xC0 != 0x80:
            return cut
    return limit
