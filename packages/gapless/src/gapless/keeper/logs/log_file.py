"""A log file: whole lines, appended; moved aside when it is large or old.

Rule 1: a chunk that the disk does not take, or takes in part, stays in memory until it does
or until `give_up`: no line is written twice, also if another program moves, empties or
removes the file meanwhile.
The beginning of a line is no exception: what the file did not take of it is not shown.
Rule 2: lines that were given up are counted, and the file says how many as soon as it takes
something again.  Until then no line waits.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable

from gapless.base import descriptors
from gapless.base.outside import reached_path
from gapless.keeper.guardian.scratch import Found, Reading, Writing
from gapless.keeper.logs.rendering import Rendering

NOWHERE = ("NULL", "/dev/null")
DEFAULT_MODE, OWN_MODE = 0o640, 0o666
"""With the umask: of gapless's own files, and of those that a user names."""


class LogFile:
    """A file that is appended to, and moved aside when it is large or old.

    `path` becomes `path.1`, that becomes `path.2`... up to *keep*.  By age: a file
    holds what was written in one period of *rotate_s*, counted from the epoch: a day
    ends at midnight UTC, whenever the keeper was started.  0 means never.  The three
    settings and the mode may be changed at any time.  A line whose beginning was shown
    ends in the same file, whatever its size.
    """

    def __init__(
        self,
        path: str,
        *,
        rotate_bytes: int,
        rotate_s: float,
        keep: int,
        lost: Counter[str] | None = None,
        writing: Writing | None = None,
    ) -> None:
        """Count the lines that are lost of each app in *lost*, too.

        What waits, and how much of it is in the file, is in *writing* at each moment.
        """
        self.path = path
        self.error = ""
        """Why nothing can be written now; empty if it can."""
        self.discards = path in NOWHERE
        self.rotate_bytes, self.rotate_s, self.keep = rotate_bytes, rotate_s, keep
        self.mode = DEFAULT_MODE
        self._descriptor = -1
        self._begun_at = 0.0
        """When the first line was written to the file; 0 if that was not here."""
        self._part: tuple[object, os.stat_result] | None = None
        """Whose line the file ends in without its end, and the file then."""
        self._continues = False
        """The chunk begins with the end of that line."""
        self._chunk = b""
        """What waits to be written: whole lines."""
        # Places in the chunk:
        self._written = 0  # what is before is in a file
        self._whole = 0  # what is before is in a file as whole lines
        self._end = 0  # what is before fits into the file that is open
        self._notice_end = 0  # what is before tells of lines that were lost
        self._has_notice = False
        self.writing = writing
        self.lost_lines = 0
        """How many lines were given up, and the file does not say so yet."""
        self._lost_reason = ""
        self._lost_by_app: Counter[str] = Counter() if lost is None else lost
        self._source: Rendering | None = None
        """Whose lines were written last, and how."""
        self._half_line: os.stat_result | None = None
        """The file that ends in a part of a line that was given up."""

    def write(
        self, lines: bytes, now_wall: float, source: Rendering | None = None
    ) -> bool:
        """Append whole lines; False if the disk did not take all.

        Then `flush` continues, or `give_up` ends it; nothing else is written before.
        """
        self.take(lines, now_wall, source)
        return self.settle(now_wall)

    def take(
        self,
        lines: bytes,
        now_wall: float,
        source: Rendering | None = None,
        *,
        continues: bool = False,
        reading: Reading | None = None,
    ) -> None:
        """Have whole lines to append: `settle` does it.

        The first one *continues* the part that *source* has shown, or each is whole.
        They are those of a *reading* until that says that they are taken.
        """
        if self.discards:
            return
        assert not self._chunk, "one chunk at a time"
        self._source = source or self._source
        notice = self._notice(now_wall)
        ending = b"" if continues else self._part_end()
        self._part, self._continues = None, continues
        self._chunk = ending + notice + lines
        self._notice_end, self._has_notice = len(ending) + len(notice), bool(notice)
        self._written = self._whole = 0
        if self.writing is not None:
            self.writing.prepare(self._chunk, reading)

    def settle(self, now_wall: float) -> bool:
        """Append what was taken; False if the disk did not take all.

        While the file owes a notice of lost lines it never returns False, but gives up.
        """
        if self.writing is not None:
            self.writing.take()
        if self.flush(now_wall):
            return True
        if self._has_notice:
            self.give_up()
        return self._has_notice

    def resume(self, chunk: bytes, written: int) -> None:
        """Have what a keeper before this one had to append, and has in part."""
        self._chunk, self._written = chunk, written
        self._whole = chunk.rfind(b"\n", 0, written) + 1

    def resume_part(self, source: Rendering) -> None:
        """Note that the file ends in the beginning of a line, which *source* has shown."""
        try:
            self._part = source, os.stat(self.path)
        except OSError:
            self._part = None

    def size(self) -> Found:
        """Return inode and size of the file as it is now; zeros without one."""
        try:
            found = os.stat(self.path)
        except OSError:
            return 0, 0
        return (found.st_ino, found.st_size) if stat.S_ISREG(found.st_mode) else (0, 0)

    def write_notice(self, now_wall: float) -> None:
        """Say in the file how many lines were lost, if some were and it takes that."""
        if not self._chunk and self.lost_lines:
            self.write(b"", now_wall)

    # --- the beginning of a line ----------------------------------------------------------

    def write_part(
        self,
        prefix: bytes,
        text: bytes,
        now_wall: float,
        source: Rendering,
        begins: Callable[[int, Found], None] = lambda *_: None,
    ) -> int:
        """Append a part of a line; return how much of the *text* the file has taken.

        *begins* is called before, with the size of what comes before the text, and with the
        file as it is then.  The text is the beginning, after *prefix*, unless the file ends
        in what *source* has shown of it.  Nothing is shown while the disk is in trouble.
        """
        if self.discards:
            return len(text)
        if self._chunk or self.lost_lines:
            return 0
        try:
            goes_on = self.continues(source)
            head = b"" if goes_on else self._part_end() + prefix
            found = self._open()
            if not goes_on and self._is_full(found, len(head) + len(text), now_wall):
                found, head = self._rotate(found, now_wall), prefix
            found = os.fstat(self._descriptor)
            begins(len(head), (found.st_ino, found.st_size))
            written = os.write(self._descriptor, head + text)
            # Half a prefix is nobody's line: the next one begins after it.
            writer = source if written >= len(head) else None
            self._part = writer, os.fstat(self._descriptor)
        except OSError:
            return 0
        return max(0, written - len(head))

    def continues(self, source: Rendering) -> bool:
        """Return whether the file ends in what *source* has shown of its line."""
        return self._part is not None and self._part[0] is source and self._is_intact()

    def _part_end(self) -> bytes:
        """Return what ends the part in which the file ends, if it does."""
        return b"\n" if self._part is not None and self._is_intact() else b""

    def _is_intact(self) -> bool:
        """Return whether nobody has moved, emptied or continued the file since."""
        assert self._part is not None
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        was = self._part[1]
        return os.path.samestat(was, found) and was.st_size == found.st_size

    def _is_full(self, found: os.stat_result, more_bytes: int, now_wall: float) -> bool:
        if not stat.S_ISREG(found.st_mode):
            return False
        is_old = self._is_old(found, now_wall)
        full = 0 < self.rotate_bytes < found.st_size + more_bytes
        return is_old or (full and bool(found.st_size))

    # --- whole lines ----------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether there are lines that the disk has not taken."""
        return bool(self._chunk)

    @property
    def app(self) -> str:
        """Whose lines were written last."""
        return self._source.app if self._source else ""

    def give_up(self) -> None:
        """Discard the lines that wait, and count them."""
        if self._whole >= self._notice_end > 0:
            self.lost_lines = 0  # it was told of
        lost = self._chunk.count(b"\n", max(self._whole, self._notice_end))
        self.lost_lines += lost
        self._lost_by_app[self.app] += lost
        self._lost_reason = self.error
        if self._written != self._whole:
            self._half_line = self._found()
        elif self._written:
            self._half_line = None
        self._chunk, self._written, self._whole, self._notice_end = b"", 0, 0, 0
        self._note_settled()
        self.close()

    def _notice(self, now_wall: float) -> bytes:
        """Return what the file is to say of lost lines; nothing if none were."""
        if not self.lost_lines:
            return b""
        lines = (
            "1 line was" if self.lost_lines == 1 else f"{self.lost_lines} lines were"
        )
        text = f"gapless: {lines} lost: {self._lost_reason}\n"
        line = text.encode()
        if self._source:
            line = self._source.render(line, now_wall)
        return self._line_end() + line

    def _line_end(self) -> bytes:
        """Return what ends the half line in the file, if it still ends in one."""
        half = self._half_line
        if half is None:
            return b""
        try:
            found = os.stat(self.path)
        except OSError:
            return b""
        same = os.path.samestat(half, found) and found.st_size >= half.st_size
        return b"\n" if same else b""

    def _found(self) -> os.stat_result | None:
        try:
            return os.fstat(self._descriptor)
        except OSError:
            return None

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
        if self._notice_end:
            self.lost_lines, self._notice_end, self._half_line = 0, 0, None
        self._note_settled()
        return True

    def _note_settled(self) -> None:
        if self.writing is not None:
            self.writing.lost_lines = self.lost_lines
            self.writing.clear()

    def _write_some(self, view: memoryview, now_wall: float) -> None:
        if self._written != self._whole and self._is_removed():
            self.close()
            self._written = self._whole  # half a line is lost with it: write it again
        if self._written == self._whole:
            self._end = self._prepare(now_wall)
        if self.writing is not None:
            found = os.fstat(self._descriptor)
            size = found.st_size if stat.S_ISREG(found.st_mode) else 0
            self.writing.goes_on(self._written, found.st_ino, size)
        self._written += os.write(self._descriptor, view[self._written : self._end])
        if self.writing is not None:
            self.writing.has_gone_on(self._written)
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
        if self._continues and not self._written and self.rotate_bytes:
            return self._chunk.index(b"\n") + 1
        begins = self._written or not self._continues
        if begins and self._is_old(found, now_wall):
            found = self._rotate(found, now_wall)
        if not self.rotate_bytes:
            return whole_chunk
        end = self._fitting(found.st_size)
        if end == self._written:  # not even one line: full
            found = self._rotate(found, now_wall)
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
        """Return whether the file has lines, and the last one is of an earlier period.

        The clock of a server may be behind: a file that was begun here in this period is
        not old, whatever its time says.
        """
        if not found.st_size:
            self._begun_at = now_wall
        if not self.rotate_s:
            return False
        now, begun = now_wall // self.rotate_s, self._begun_at // self.rotate_s
        return begun != now and found.st_mtime // self.rotate_s < now

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
        # A terminal must not become the keeper's own, a FIFO must not block it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY | os.O_NONBLOCK
        with reached_path.parent_of(self.path, make=True) as (directory, name):
            self._descriptor = reached_path.open_file(directory, name, flags, self.mode)
        return os.fstat(self._descriptor)

    def _rotate(self, found: os.stat_result, now_wall: float) -> os.stat_result:
        """Move the file aside; one that cannot be moved continues to grow."""
        try:
            self._move_aside()
        except OSError:
            return found
        self.close()
        self._begun_at = now_wall
        return self._open()

    def _move_aside(self) -> None:
        with reached_path.parent_of(self.path) as (directory, name):
            self._move_in(directory, name)

    def _move_in(self, directory: int, name: str) -> None:
        if self.keep < 1:
            os.unlink(name, dir_fd=directory)
            return
        free = 1  # a crash between two renames leaves a gap: files beyond it stay
        while free < self.keep and reached_path.is_there(directory, f"{name}.{free}"):
            free += 1
        for number in range(free - 1, 0, -1):
            reached_path.rename(directory, f"{name}.{number}", f"{name}.{number + 1}")
        reached_path.rename(directory, name, f"{name}.1")

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            descriptors.close(descriptor)
