"""Memory that outlives the keeper: what it has in its hands at each moment.

What was read from a pipe is in no pipe any more, and a system call that was received is
not received again.  So the kernel writes both here, not into memory of the keeper's own.
The memory is a memfd (memfd_create(2)) that the guardian holds too.  A keeper that is
killed leaves it as it is after some instruction; the next one reads it.

Rule: what has to be true at once is one word, which is stored by one instruction.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Collection

LAYOUT = 1
"""Grows when a place changes its meaning: another version cannot go on with that."""
STRIDE_BYTES = 16 << 20
"""From place to place; memory is used only where something was written (shmem)."""
_HEAD_BYTES = 4096
_RECEIVED_AT, _RECEIVED_BYTES = 1024, 2048
"""More than 1024: then fcntl.ioctl lets the kernel write there, and not into a copy."""
NOTIFICATION_BYTES = 80
_ZEROS = bytes(1 << 17)
_SERIALS = 1 << 24
_BEGUN = 1 << 63
"""Of a word: what it tells of has begun, and may have happened."""


class Scratch:
    """The memory, in places that are given and taken back by their number."""

    def __init__(self, descriptor: int, used: Collection[int] = ()) -> None:
        """Go on with the memory of a descriptor, of which some places are *used*."""
        self.descriptor = descriptor
        self._used = {0, *used}
        self._first = self._map(0, _HEAD_BYTES)
        self._words = memoryview(self._first)[:_RECEIVED_AT].cast("Q")

    @classmethod
    def make(cls) -> Scratch:
        """Return new memory.  Raises OSError."""
        return cls(os.memfd_create("gapless-scratch"))

    def _map(self, number: int, size_bytes: int) -> mmap.mmap:
        end = number * STRIDE_BYTES + size_bytes
        if os.fstat(self.descriptor).st_size < end:
            os.ftruncate(self.descriptor, end)
        return mmap.mmap(self.descriptor, size_bytes, offset=number * STRIDE_BYTES)

    def _take(self, number: int | None, size_bytes: int) -> tuple[int, mmap.mmap]:
        """Return a place that is free, or the one of that number."""
        found = number
        if found is None:
            found = next(
                n for n in range(1, len(self._used) + 1) if n not in self._used
            )
        memory = self._map(found, size_bytes)
        self._used.add(found)
        return found, memory

    def reading(self, number: int | None = None) -> Reading:
        """Return a place for what is read from a pipe: a free one, or an earlier one."""
        return Reading(self, *self._take(number, Reading.SIZE_BYTES))

    def writing(self, number: int | None = None) -> Writing:
        """Return a place for what is written to a file: a free one, or an earlier one."""
        return Writing(self, *self._take(number, STRIDE_BYTES))

    def serial_in(self, number: int) -> int:
        """Return the serial of what is read from a pipe, by the number of its place."""
        word = os.pread(self.descriptor, 8, number * STRIDE_BYTES)
        return int.from_bytes(word, sys.byteorder) >> 40

    def give_back(self, number: int, memory: mmap.mmap) -> None:
        """Free a place, and what it has of the machine's memory."""
        memory.madvise(mmap.MADV_REMOVE)
        self._used.discard(number)

    # --- the system call that is being received ---------------------------------------

    def begin_to_receive(self, key: str) -> memoryview:
        """Return where the kernel is to write a call of an instance."""
        self._words[0] = 0
        name = key.encode(errors="surrogatepass")[:900]
        self._first[64 : 64 + len(name)] = name
        at, end = _RECEIVED_AT, _RECEIVED_AT + _RECEIVED_BYTES
        self._first[at : at + NOTIFICATION_BYTES] = _ZEROS[:NOTIFICATION_BYTES]
        self._words[0] = len(name)
        return memoryview(self._first)[at:end]

    def end_receiving(self) -> None:
        """Note that the call was put elsewhere, or was answered."""
        self._words[0] = 0

    def received(self) -> tuple[str, bytes] | None:
        """Return the call that was being received, and of which instance; None for none."""
        length = self._words[0]
        at = _RECEIVED_AT
        call = self._first[at : at + NOTIFICATION_BYTES]
        if not length or not any(call[:8]):
            return None
        return self._first[64 : 64 + length].decode(errors="surrogatepass"), call


class _Place:
    """A place of the memory."""

    def __init__(self, scratch: Scratch, number: int, memory: mmap.mmap) -> None:
        self.number = number
        self._scratch, self._memory = scratch, memory
        self._view = memoryview(memory)
        self._words = self._view[:_HEAD_BYTES].cast("Q")

    def _stored(self, at: int, size_bytes: int) -> bytes:
        """Return what the memory has there; what was never written stays without memory."""
        start = self.number * STRIDE_BYTES + at
        return os.pread(self._scratch.descriptor, size_bytes, start)

    def close(self) -> None:
        """Give the place back."""
        self._words.release()
        self._view.release()
        self._scratch.give_back(self.number, self._memory)
        self._memory.close()


# --- what is read from a pipe -------------------------------------------------------------

_AREA_BYTES = 96 << 10
_PART_AT, _PART_WORDS = 8, 8
Found = tuple[int, int]
"""The inode and the size of a file."""


class Reading(_Place):
    """What a stream has read, and no file has taken.

    There are two areas.  What is left of one is copied to the other, then the word that
    says which is the one changes, then the kernel appends there.
    """

    SIZE_BYTES = _HEAD_BYTES + 2 * _AREA_BYTES

    def __init__(self, scratch: Scratch, number: int, memory: mmap.mmap) -> None:
        super().__init__(scratch, number, memory)
        word = self._words[0]
        self._filled = [0, 0]
        """Up to where each area has something: the rest is zeros."""
        self.serial = word >> 40
        """Grows with each chunk of lines that the files have taken."""
        self._area, reads = word >> 39 & 1, word >> 38 & 1
        begin, self._end = word >> 19 & 0x7FFFF, word & 0x7FFFF
        self.left = b""
        """What a keeper before this one has read, and no file has taken."""
        if reads:
            # Not by way of the mapping: that would fill the whole area with memory.
            self.left = self._stored(self._at(), _AREA_BYTES).rstrip(b"\0")
            self._end = len(self.left)
        elif begin < self._end:
            self.left = self._stored(self._at() + begin, self._end - begin)
        self._filled[self._area] = self._end
        if word:  # what the other area has was copied
            other = _HEAD_BYTES + (1 - self._area) * _AREA_BYTES
            memory.madvise(mmap.MADV_REMOVE, other, _AREA_BYTES)

    def _at(self) -> int:
        return _HEAD_BYTES + self._area * _AREA_BYTES

    def _store(self, reads: int, begin: int, end: int) -> None:
        self._words[0] = (
            self.serial << 40 | self._area << 39 | reads << 38 | begin << 19 | end
        )

    def read(self, descriptor: int, incomplete: bytes, most_bytes: int) -> bytes:
        """Read a chunk after what is *incomplete*.  Raises BlockingIOError, OSError."""
        start, at = len(incomplete), _HEAD_BYTES + (1 - self._area) * _AREA_BYTES
        self._view[at : at + start] = incomplete
        filled = self._filled[1 - self._area]
        if filled > start:
            self._view[at + start : at + filled] = _ZEROS[: filled - start]
        self._area = 1 - self._area
        self._filled[self._area] = self._end = start
        self._store(1, 0, start)
        end = min(start + most_bytes, _AREA_BYTES)
        count = os.readv(descriptor, [self._view[at + start : at + end]])
        self._filled[self._area] = self._end = start + count
        return bytes(self._view[at + start : at + start + count])

    def take(self, rest_bytes: int, *, lines: bool = True) -> None:
        """Note that the files have all but the last *rest_bytes*.

        Without *lines* nothing ended: what was shown is of the same line as before.
        """
        if lines:
            self.serial = self.next_serial
        self._store(0, self._end - rest_bytes, self._end)

    @property
    def next_serial(self) -> int:
        """The serial once the files have what was read last."""
        return (self.serial + 1) % _SERIALS

    # --- the beginning of a line that was shown, by the number of the file ------------

    def begin_part(self, file: int, shown: int, head_bytes: int, found: Found) -> None:
        """Note that a part is written to a file, which is so now, after a head."""
        at = _PART_AT + file * _PART_WORDS
        self._words[at] = 0
        self._words[at + 1], self._words[at + 2] = found[1], head_bytes
        self._words[at + 3] = found[0]
        self._words[at] = _BEGUN | self.serial << 32 | shown

    def end_part(self, file: int, shown: int, found: Found) -> None:
        """Note how much of the line a file shows, and the file if it ends so, or zeros.

        What is shown is noted first: it is not written again then, whatever comes.
        """
        at = _PART_AT + file * _PART_WORDS
        self._words[at] = self.serial << 32 | shown
        self._words[at + 3], self._words[at + 1] = found

    def part(self, file: int, found: Found) -> tuple[int, bool]:
        """Return how much of the line a file shows that is so now.

        Also, whether the file ends there.
        """
        at = _PART_AT + file * _PART_WORDS
        word, before, head_bytes, inode = self._words[at : at + 4]
        if (word & ~_BEGUN) >> 32 != self.serial:
            return 0, False
        shown, size = word & 0xFFFFFFFF, found[1]
        if not inode or inode != found[0]:
            return shown, False
        at_end = bool(shown) and size == before
        if word & _BEGUN and size > before:
            shown += max(0, size - before - head_bytes)
            at_end = True
        return shown, at_end


# --- what is written to a file ------------------------------------------------------------

_PREPARED, _TAKEN = 1, 2


class Writing(_Place):
    """A chunk that a file has to take, and how much it has."""

    @property
    def lost_lines(self) -> int:
        """How many lines were given up that the file does not tell of."""
        return self._words[5]

    @lost_lines.setter
    def lost_lines(self, count: int) -> None:
        self._words[5] = count

    def prepare(self, chunk: bytes, reading: Reading | None) -> None:
        """Have a chunk that belongs to a stream until `Reading.take`; None: it is ours."""
        self._words[0] = 0
        if len(chunk) > STRIDE_BYTES - _HEAD_BYTES:
            return  # a prefix of hundreds of bytes before each of thousands of lines
        self._view[_HEAD_BYTES : _HEAD_BYTES + len(chunk)] = chunk
        self._words[2], self._words[3] = len(chunk), 0
        if reading is None:
            self._words[0] = _TAKEN
            return
        self._words[1] = reading.number << 32 | reading.next_serial
        self._words[0] = _PREPARED

    def take(self) -> None:
        """Note that the chunk is the file's own now."""
        if self._words[0]:
            self._words[0] = _TAKEN

    def goes_on(self, written: int, inode: int, size: int) -> None:
        """Note that the chunk is written from there on, to a file of that size now."""
        self._words[4] = inode
        self._words[3] = _BEGUN | (written & 0xFFFFFF) << 39 | size & 0x7FFFFFFFFF

    def has_gone_on(self, written: int) -> None:
        """Note that so much of the chunk is in a file, whatever becomes of that."""
        self._words[3] = (written & 0xFFFFFF) << 39

    def clear(self) -> None:
        """Note that nothing has to be written."""
        length, self._words[0] = self._words[2], 0
        if length > _AREA_BYTES:
            at = _HEAD_BYTES + _AREA_BYTES
            self._memory.madvise(mmap.MADV_REMOVE, at, STRIDE_BYTES - at)

    def owner(self) -> tuple[int, int] | None:
        """Return the place and serial of the stream that a chunk may still belong to."""
        if self._words[0] != _PREPARED:
            return None
        return self._words[1] >> 32, self._words[1] & 0xFFFFFFFF

    def left(self, inode: int, size: int) -> tuple[bytes, int]:
        """Return the chunk, and how much of it is in a file: of that inode and size now.

        Empty if there is none.
        """
        if not self._words[0]:
            return b"", 0
        chunk = bytes(self._view[_HEAD_BYTES : _HEAD_BYTES + self._words[2]])
        word = self._words[3]
        written, before = word >> 39 & 0xFFFFFF, word & 0x7FFFFFFFFF
        if word & _BEGUN and inode == self._words[4]:
            written += max(0, size - before)
        return chunk, min(written, len(chunk))
