"""One output of one instance, on its way from a pipe to its log files.

Rule 1: what was read from a pipe is in the files before more is read: at most one chunk per
file is in memory.
Rule 2: when a disk is full, the keeper stops reading and does not block.  The pipe holds
what is printed meanwhile.  When it fills, lines are given up, so that no program waits for
good.
Rule 3: a file holds whole lines.  A line gets its time when its end arrives.  One beyond
`LONGEST_LINE_BYTES` is broken there, and the last one needs no end.
Rule 4: the beginning of a line whose end does not come soon is shown, with the time of
then; what follows is appended.  Where another line has come between, or the file was moved
or emptied, the rest is a line of its own: each byte is written once.  JSON stays whole.
Rule 5: what was read, and is not in the files, is in memory that outlives the keeper
(`keeper.scratch`): each byte is written once, whenever the keeper is killed.
"""

from __future__ import annotations

import array
import fcntl
import os
import termios
from collections.abc import Callable
from enum import Enum

from gapless.base import descriptors
from gapless.keeper.guardian.scratch import Found, Reading
from gapless.keeper.logs.log_file import LogFile
from gapless.keeper.logs.rendering import Rendering

PIPE_BYTES = 1 << 20
PATIENCE_S = 2.0
"""How long lines wait at least for a disk that takes nothing."""
READ_BYTES = 32 << 10
"""One chunk.  Buffers above 128 KiB go back to the kernel each time: half as fast."""
READS_PER_TRANSFER = PIPE_BYTES // READ_BYTES
"""Then the other streams have their turn."""
LONGEST_LINE_BYTES = 64 << 10
LONGEST_PART_BYTES = LONGEST_LINE_BYTES - 4  # it may be broken so far before its limit
_DEFAULT_PIPE_BYTES = 64 << 10  # pipe(7)
_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032


class Status(Enum):
    """How a stream is after a transfer."""

    OPEN = "open"  #: wait for more
    BLOCKED = "blocked"  #: a file takes nothing: stop reading, `retry` in a second
    ENDED = "ended"  #: no process can write any more, and all is in the files


def make_pipe() -> tuple[int, int]:
    """Return read end (non-blocking) and write end of a pipe that outlives its reader.

    The write end is opened for reading too, by way of /proc, so the program is a reader
    of its own pipe.  If the keeper dies, the program gets no EPIPE: it waits (pipe(7)).
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
    size_bytes = PIPE_BYTES
    while size_bytes > _DEFAULT_PIPE_BYTES:
        try:
            fcntl.fcntl(write_end, _F_SETPIPE_SZ, size_bytes)
            break
        except OSError:  # beyond pipe-max-size, or the user's quota of pipe pages
            size_bytes //= 2
    return read_end, write_end


def unread_bytes(pipe: int) -> int:
    """Return how much is in a pipe."""
    size = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return size[0]


def pipe_bytes(pipe: int) -> int:
    """Return how much a pipe can hold."""
    return fcntl.fcntl(pipe, _F_GETPIPE_SZ)


class Stream:
    """One output of one instance, and the files that its lines go to."""

    def __init__(
        self,
        read_fd: int,
        files: tuple[LogFile, ...],
        rendering: Rendering,
        reading: Reading | None = None,
    ) -> None:
        self.read_fd, self.files, self._rendering = read_fd, files, rendering
        self.app, self.reading = rendering.app, reading
        self._incomplete = b""
        """The line whose end has not arrived."""
        self._shown: dict[LogFile, int] = {}
        """How much of it a file has already."""
        self._finishing = self._resumes = False
        self.closed = False

    def transfer(self, now_wall: float) -> Status:
        """Move what is in the pipe to the files, a megabyte at most."""
        if not self._flush(now_wall):
            return Status.BLOCKED
        if self._resumes:
            self._resumes = False
            if not self._write(self._complete(b"", ended=False), now_wall):
                return Status.BLOCKED
        for _ in range(READS_PER_TRANSFER):
            try:
                chunk = self._read()
            except BlockingIOError:
                break
            if not self._write(self._complete(chunk, ended=not chunk), now_wall):
                return Status.BLOCKED
            if not chunk:
                return Status.ENDED
        return Status.OPEN

    def _read(self) -> bytes:
        if self.reading is None:
            return os.read(self.read_fd, READ_BYTES)
        return self.reading.read(self.read_fd, self._incomplete, READ_BYTES)

    def resume(self) -> None:
        """Have what a keeper before this one has read, and no file has taken.

        All streams of a file have it before one of them goes on: what that writes is no
        part of a line of another's.
        """
        if self.reading is None:
            return
        for number, file in enumerate(self.files):
            shown, at_end = self.reading.part(number, file.size())
            self._shown[file] = min(shown, len(self.reading.left))
            if at_end:
                file.resume_part(self._rendering)
        self._incomplete, self._resumes = self.reading.left, True

    def retry(self, now_wall: float) -> Status:
        """Continue after BLOCKED."""
        if self._finishing:
            return Status.ENDED if self.finish(now_wall) else Status.BLOCKED
        return self.transfer(now_wall)

    def finish(self, now_wall: float) -> bool:
        """Move all that is left, also a last line without an end.

        For a pipe that other processes may still hold.  False if a disk did not take
        it: then `retry` continues, until it returns ENDED.
        """
        self._finishing = True
        for _ in range(2):  # a process that never stops writing does not keep us here
            status = self.transfer(now_wall)
            if status is not Status.OPEN:
                return status is Status.ENDED
        return self._write(self._complete(b"", ended=True), now_wall)

    def gives_up(self, waited_s: float) -> bool:
        """Return whether its program would wait on its pipe soon, or has ended."""
        if waited_s < PATIENCE_S:
            return False
        if self._finishing:
            return True
        return unread_bytes(self.read_fd) * 2 >= pipe_bytes(self.read_fd)

    def give_up(self) -> None:
        """Discard the lines that a disk does not take, and go on."""
        for file in self.files:
            if file.waits:
                file.give_up()

    def close(self) -> None:
        """Close the read end; nothing more is moved."""
        self.closed = True
        descriptors.close(self.read_fd)
        if self.reading is not None:
            self.reading.close()

    def _complete(self, chunk: bytes, *, ended: bool) -> bytes:
        """Return the lines that are complete now, and keep the rest."""
        received = self._incomplete + chunk if self._incomplete else chunk
        end = received.rfind(b"\n") + 1
        lines, rest = (
            (received, b"")
            if end == len(received)
            else (received[:end], received[end:])
        )
        while len(rest) > LONGEST_LINE_BYTES:
            cut = _end_of_character(rest, LONGEST_LINE_BYTES)
            lines += rest[:cut] + b"\n"
            rest = rest[cut:]
        if rest and ended:
            lines += rest + b"\n"
            rest = b""
        self._incomplete = rest
        return lines

    def _write(self, lines: bytes, now_wall: float) -> bool:
        """Append lines to every file; False if one did not take all."""
        if lines and not all(file.discards for file in self.files):
            self._give_to_files(lines, now_wall)
        if self.reading is not None:
            self.reading.take(len(self._incomplete), lines=bool(lines))
        taken = [file.settle(now_wall) for file in self.files]
        return all(taken)

    def _give_to_files(self, lines: bytes, now_wall: float) -> None:
        """Let every file have lines to append."""
        source = self._rendering
        shown, self._shown = self._shown, {}
        rendered = b""
        for file in self.files:
            if shown.get(file):
                self._continue(file, lines[shown[file] :], now_wall)
            else:
                rendered = rendered or source.render(lines, now_wall)
                file.take(rendered, now_wall, source, reading=self.reading)

    @property
    def has_part(self) -> bool:
        """Whether it has the beginning of a line that a file could show."""
        known = min((self._shown.get(file, 0) for file in self.files), default=0)
        return known < min(len(self._incomplete), LONGEST_PART_BYTES)

    def show_part(self, now_wall: float) -> None:
        """Write the beginning of a line that has no end yet, where it can be."""
        prefix = self._rendering.prefix(now_wall)
        if prefix is None:
            return
        text = self._incomplete[:LONGEST_PART_BYTES]
        for number, file in enumerate(self.files):
            shown = self._shown.get(file, 0)
            if shown < len(text):
                begins = self._part_begins(number, shown)
                shown += file.write_part(
                    prefix, text[shown:], now_wall, self._rendering, begins
                )
                self._shown[file] = shown
                if self.reading is not None:
                    ends_there = file.continues(self._rendering)
                    found = file.size() if ends_there else (0, 0)
                    self.reading.end_part(number, shown, found)

    def _part_begins(self, number: int, shown: int) -> Callable[[int, Found], None]:
        reading = self.reading
        if reading is None:
            return lambda *_: None
        return lambda head_bytes, found: reading.begin_part(
            number, shown, head_bytes, found
        )

    def _continue(self, file: LogFile, lines: bytes, now_wall: float) -> None:
        """Let a file that has the beginning of the first line have the rest."""
        source, continues = self._rendering, file.continues(self._rendering)
        if not continues:
            if lines.startswith(b"\n"):  # it was whole but for its end
                lines = lines[1:]
            rendered = source.render(lines, now_wall) if lines else b""
        else:
            rest, _, others = lines.partition(b"\n")
            rendered = rest + b"\n"
            rendered += source.render(others, now_wall) if others else b""
        if rendered:
            file.take(
                rendered, now_wall, source, continues=continues, reading=self.reading
            )

    def _flush(self, now_wall: float) -> bool:
        """Append what waits to every file; return whether nothing is left."""
        taken = [file.flush(now_wall) for file in self.files]
        return all(taken)


def _end_of_character(text: bytes, limit: int) -> int:
    """Return where to cut UTF-8 *text* at *limit* without cutting a character."""
    for cut in range(limit, limit - 4, -1):
        if text[cut] & 0xC0 != 0x80:
            return cut
    return limit
