"""From the bytes of an archive to its members: POSIX ustar and pax, GNU tar, and V7.

Rules:
- A header is read within a limit before any of it is believed.  Numbers are whole, not
  negative, and as large as they say; what is no number is a broken archive.
- What only some programs write and no release needs (sparse files, volumes, devices) is a
  member of a kind of its own, which `rules` refuses.
- Only tar's own bytes are looked at here: neither the disk nor the meaning of a name.

Source: POSIX.1-2024, pax; GNU tar manual, "Basic Tar Format" and "Extensions".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from gapless.releases.unpacking.faults import BrokenError, RefusedError
from gapless.releases.unpacking.streams import Stream

FILE, DIRECTORY, LINK, HARD_LINK, OTHER, SPARSE = range(6)

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_PIECE_BYTES = 1 << 20
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_MOST_EXTENDED_BYTES = 1 << 20
"""Of one extended header.  The longest that people have hold attributes: 64 KB each."""
_MOST_EXTENDED = 16
"""Extended headers before one member.  Programs write two or three."""
_MOST_TRAILING_BYTES = 64 << 20
"""So much behind the archive is read for its checksum.  Programs write zeros there."""
_MOST_DIGITS = 20
_MOST_MTIME = 1 << 33
"""The year 2242.  A time beyond it, or before 1970, is not kept."""
_KINDS = {
    **dict.fromkeys((b"0", b"\0", b"7"), FILE),
    b"5": DIRECTORY,
    b"2": LINK,
    b"1": HARD_LINK,
    b"S": SPARSE,
}
_PAX, _GLOBAL_PAX = (b"x", b"X"), b"g"
_LONG_NAME, _LONG_TARGET = b"L", b"K"
_FIELDS = frozenset((b"path", b"linkpath", b"size", b"mtime"))


class Member:
    """What one header, and those before it that belong to it, say."""

    __slots__ = ("kind", "mode", "mtime", "name", "size", "target")

    def __init__(self, name: bytes, kind: int, mode: int) -> None:
        self.name, self.kind, self.mode = name, kind, mode
        self.size = 0
        """In bytes; 0 unless it is a file."""
        self.mtime: float | None = None
        """In seconds since 1970; None if that is not a time to keep."""
        self.target = b""
        """Of a link or a hard link."""


class Archive:
    """Iterates over the members; the content of one is read before the next."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = self._padding = 0
        self.extended_bytes = 0
        """The bytes of all extended headers so far."""

    def __iter__(self) -> Iterator[Member]:
        """Yield every member.  Raises BrokenError, RefusedError."""
        stream, count = self._stream, 0
        while True:
            self._skip()
            extended: dict[bytes, bytes] = {}
            for before in range(_MOST_EXTENDED + 1):
                block = stream.take(_BLOCK)
                if len(block) != _BLOCK or block == _ZEROS:
                    self._end(block, count, is_inside=before > 0)
                    return
                fields = _HEADER.unpack(block)
                if not _is_intact(block, fields[6]):
                    raise BrokenError(
                        f"its header at byte {stream.taken - _BLOCK} is damaged"
                        if count or before
                        else "it is no tarball"
                    )
                if not self._take_extended(fields, extended):
                    break
            else:
                raise RefusedError(
                    f"it has more than {_MOST_EXTENDED} headers in a row"
                )
            count += 1
            member = _member(fields, extended)
            self._left = member.size
            self._padding = -member.size % _BLOCK
            yield member

    def pieces(self) -> Iterator[bytes]:
        """Yield the content of the file that came last.  Raises BrokenError."""
        while self._left:
            piece = self._stream.take_some(min(self._left, _PIECE_BYTES))
            if not piece:
                raise BrokenError("it ends too early")
            self._left -= len(piece)
            yield piece

    def _skip(self) -> None:
        for _ in self.pieces():
            pass
        if self._padding and len(self._stream.take(self._padding)) != self._padding:
            raise BrokenError("it ends too early")
        self._padding = 0

    def _end(self, block: bytes, count: int, *, is_inside: bool) -> None:
        """Read on to the end of the file, for its checksum.  Raises BrokenError.

        As for tar, an archive may end without the blocks of zeros that mark its end.
        """
        if not count and not is_inside and len(block) < _BLOCK:
            what = f"{len(block)} bytes, less than one header" if block else "no byte"
            raise BrokenError(f"it is no tarball: it has {what}")
        if is_inside or 0 < len(block) < _BLOCK:
            raise BrokenError("it ends too early")
        beyond = 0
        while beyond < _MOST_TRAILING_BYTES:
            piece = self._stream.take_some(_PIECE_BYTES)
            if not piece:
                return
            beyond += len(piece)

    def _take_extended(
        self, fields: tuple[bytes, ...], extended: dict[bytes, bytes]
    ) -> bool:
        """Read an extended header into *extended*, where what came first stays.

        Returns False if the header is that of a member.
        """
        kind = fields[7]
        if kind not in _PAX and kind not in (_GLOBAL_PAX, _LONG_NAME, _LONG_TARGET):
            return False
        size = _number(fields[4])
        if size > _MOST_EXTENDED_BYTES:
            raise RefusedError(
                f"it has a header of {size} bytes; the most are {_MOST_EXTENDED_BYTES}"
            )
        content = self._stream.take(size)
        padding = -size % _BLOCK
        if len(content) != size or len(self._stream.take(padding)) != padding:
            raise BrokenError("it ends too early")
        self.extended_bytes += size
        if kind == _LONG_NAME:
            extended.setdefault(b"path", content.partition(b"\0")[0])
        elif kind == _LONG_TARGET:
            extended.setdefault(b"linkpath", content.partition(b"\0")[0])
        else:
            found = _records(content)
            if kind == _GLOBAL_PAX:
                if found.keys() - {b"mtime"}:
                    raise RefusedError("it has one name or size for all of its members")
                found.clear()
            for key, value in found.items():
                extended.setdefault(key, value)
        return True


def _is_intact(block: bytes, checksum: bytes) -> bool:
    """Return whether a header has its own checksum; some programs sum signed bytes."""
    expected = _number(checksum)
    found = sum(block) - sum(checksum) + 8 * ord(" ")
    if found == expected:
        return True
    high = sum(each > 127 for each in block) - sum(each > 127 for each in checksum)
    return found - 256 * high == expected


def _number(field: bytes) -> int:
    """Return the number in a field: octal, or binary with the highest bit set."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise BrokenError("a number in it is negative or too large")
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise BrokenError("a number in it has other digits than 0 to 7")
    return int(digits, 8)


def _records(content: bytes) -> dict[bytes, bytes]:
    """Return the records of a pax header that count here: `LENGTH KEY=VALUE` and a newline.

    A sparse file is `b"sparse"`.  Raises BrokenError.
    """
    found, at = {}, 0
    while at < len(content):
        space = content.find(b" ", at, at + _MOST_DIGITS)
        digits = content[at : max(at, space)]
        end = at + int(digits) if digits.isdigit() else 0
        key, equals, value = content[space + 1 : end].partition(b"=")
        # A record ends behind its own length: so the next one begins behind this one.
        if not at < space < end <= len(content) or not equals or value[-1:] != b"\n":
            if not content[at:].strip(b"\0"):
                break  # some programs fill the rest with zeros
            raise BrokenError("an extended header in it is damaged")
        if key in _FIELDS:
            found[key] = value[:-1]
        elif key.startswith(b"GNU.sparse."):
            found[b"sparse"] = b""
        at = end
    return found


def _member(fields: tuple[bytes, ...], extended: dict[bytes, bytes]) -> Member:
    """Return a member of its header and the extended ones before it.

    Raises BrokenError.
    """
    name = extended.get(b"path") or fields[0].partition(b"\0")[0]
    prefix = fields[14].partition(b"\0")[0]
    if prefix and not extended.get(b"path") and fields[9].startswith(b"ustar\0"):
        name = prefix + b"/" + name
    kind = _KINDS.get(fields[7], OTHER)
    if kind == FILE and name.endswith(b"/"):
        kind = DIRECTORY  # as programs wrote it before POSIX
    if b"sparse" in extended:
        kind = SPARSE
    member = Member(name, kind, _number(fields[1]))
    if kind == FILE:
        member.size = _size(extended, fields[4])
        member.mtime = _mtime(extended, fields[5])
    elif kind in (LINK, HARD_LINK):
        member.target = extended.get(b"linkpath") or fields[8].partition(b"\0")[0]
    return member


def _size(extended: dict[bytes, bytes], field: bytes) -> int:
    text = extended.get(b"size")
    if not text:
        return _number(field)
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise BrokenError("a size in it is no number")
    return int(text)


def _mtime(extended: dict[bytes, bytes], field: bytes) -> float | None:
    """Return a time that every file system has, or None: no release fails for a time."""
    text = extended.get(b"mtime")
    try:
        if text:
            whole, _, rest = text.partition(b".")
            is_number = whole.isdigit() and (rest.isdigit() or not rest)
            time = float(text[:40]) if is_number else -1.0
        else:
            time = float(_number(field))
    except (BrokenError, OverflowError):
        return None
    return time if 0 <= time < _MOST_MTIME else None
