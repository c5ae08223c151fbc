"""From the bytes of a file to the bytes of an archive: gzip, bzip2, xz, or as they are.

Rule: no step makes more than one piece of bytes at a time, whatever it is made of.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from gapless.releases.unpacking.faults import BrokenError

Read = Callable[[int], bytes]
"""Returns at most so many bytes; none at the end."""

_READ_BYTES = 1 << 18
_PIECE_BYTES = 1 << 20
_XZ_MEMORY_BYTES = 256 << 20
"""`xz -9` needs 65 MB to be read."""
_GZIP, _BZIP2, _XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"


class _Decompressor(Protocol):
    """One compressed stream; a file may have several, one after the other."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


class Stream:
    """The bytes of an archive, in order."""

    def __init__(self, read: Read) -> None:
        """Begin to read.  All methods raise BrokenError, and what *read* raises."""
        self._pieces = _decompressed(read)
        self._piece, self._at = b"", 0
        self.taken = 0
        """So many bytes were returned."""

    def take(self, count: int) -> bytes:
        """Return the next *count* bytes; fewer at the end.  They are held in memory."""
        end = self._at + count
        if end > len(self._piece):
            return self._take_more(count)
        taken = self._piece[self._at : end]
        self._at = end
        self.taken += count
        return taken

    def take_some(self, most: int) -> bytes:
        """Return what comes next: at least a byte unless it is the end, at most *most*."""
        if self._at == len(self._piece):
            self._piece, self._at = next(self._pieces, b""), 0
        return self.take(min(most, len(self._piece) - self._at))

    def _take_more(self, count: int) -> bytes:
        found = []
        while count and (piece := self.take_some(count)):
            found.append(piece)
            count -= len(piece)
        return b"".join(found)


def module_of(beginning: bytes) -> str:
    """Return the module that decompresses a file; it is imported before confinement."""
    return {_BZIP2: "bz2", _XZ: "lzma"}.get(_kind(beginning), "zlib")


def _kind(beginning: bytes) -> bytes:
    return next((k for k in (_GZIP, _BZIP2, _XZ) if beginning.startswith(k)), b"")


def _decompressed(read: Read) -> Iterator[bytes]:
    """Yield pieces, none of them empty."""
    waiting = read(_READ_BYTES)
    kind = _kind(waiting)
    if not kind:
        while waiting:
            yield waiting
            waiting = read(_READ_BYTES)
        return
    try:
        # What is behind the last stream is not looked at, as tar does.
        while waiting.startswith(kind):
            stream = _open(kind)
            while not stream.eof:
                if (
                    stream.needs_input
                    and not waiting
                    and not (waiting := read(_READ_BYTES))
                ):
                    raise BrokenError("it ends too early")
                piece = stream.decompress(waiting, _PIECE_BYTES)
                if piece:
                    yield piece
                elif not waiting and not stream.needs_input and not stream.eof:
                    raise BrokenError("it cannot be decompressed")
                waiting = b""
            waiting = stream.unused_data.lstrip(b"\0")
            while len(waiting) < len(kind) and (more := read(_READ_BYTES)):
                waiting = (waiting + more).lstrip(b"\0")
    except (zlib.error, EOFError, ValueError) as error:
        raise BrokenError(str(error).lower()) from None
    except OSError as error:
        if error.errno is not None:
            raise  # the file cannot be read now
        raise BrokenError(str(error).lower()) from None


def _open(kind: bytes) -> _Decompressor:
    if kind == _GZIP:
        return _Gzip()
    if kind == _BZIP2:
        import bz2  # noqa: PLC0415 - Python may be built without it

        return bz2.BZ2Decompressor()
    return _Xz()


class _Gzip:
    """A gzip stream in the form of those of `bz2` and `lzma`."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the stream has ended; its checksum is right then."""
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        """What is behind the stream."""
        return self._stream.unused_data

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        """Return at most so many bytes.  Raises zlib.error."""
        piece = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self.needs_input = len(piece) < max_length and not self._stream.unconsumed_tail
        return piece


class _Xz:
    """An xz stream, whose own error becomes ValueError."""

    def __init__(self) -> None:
        import lzma  # noqa: PLC0415 - Python may be built without it

        self._error = lzma.LZMAError
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY_BYTES)

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing more in what it was given."""
        return self._stream.needs_input

    @property
    def unused_data(self) -> bytes:
        """What is behind the stream."""
        return self._stream.unused_data

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        """Return at most so many bytes.  Raises ValueError."""
        try:
            return self._stream.decompress(data, max_length)
        except self._error as error:
            raise ValueError(str(error)) from None
