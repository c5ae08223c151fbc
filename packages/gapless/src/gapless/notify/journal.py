"""The log of gapless, read line by line from a place, across its rotation.

The supervisor writes it anyway: whoever follows it costs the supervisor nothing, and what
happens while nobody follows is there afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from gapless.base.outside import files
from gapless.notify.memory import Place

MOST_BYTES = 256 << 10
"""Read at a time."""
LONGEST_LINE_BYTES = 8 << 20
"""No line of ours has so many."""
_HEAD_BYTES = 256


class Read(NamedTuple):
    """One line."""

    line: dict[str, Any]
    """Empty, if it cannot be understood."""
    after: Place
    """The place behind it."""


class Journal:
    """The log of one home: the file, and the one that it was before its rotation."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.lost = False
        """Whether lines went before they were read: the log was rotated twice."""

    def end(self) -> Place:
        """Return the place behind everything that was written so far."""
        with _opened(self._path) as descriptor:
            if descriptor < 0:
                return Place()
            return _place(descriptor, os.fstat(descriptor).st_size)

    def lines(self, place: Place) -> Iterator[Read]:
        """Yield the next complete lines from a place, as many as are read at a time."""
        with _opened(self._path) as current:
            if current >= 0 and _is_in(current, place):
                yield from _lines(current, place)
                return
            with _opened(f"{self._path}.1") as earlier:
                if earlier >= 0 and _is_in(earlier, place):
                    rest = list(_lines(earlier, place))
                    yield from rest
                    if rest or current < 0:
                        return
                elif place.inode:
                    self.lost = True
                    is_emptied = _is_file(current, place)
                    source = current if is_emptied or earlier < 0 else earlier
                    # The place moves at once: a loss is said once.
                    yield Read({}, _place(source, 0) if source >= 0 else Place())
                    return
            if current >= 0:
                yield from _lines(current, _place(current, 0))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a file to read it; -1 if it is not there."""
    try:
        descriptor = files.open_regular(path)
    except OSError:
        yield -1
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _place(descriptor: int, offset: int) -> Place:
    found = os.fstat(descriptor)
    head = os.pread(descriptor, min(_HEAD_BYTES, found.st_size), 0)
    return Place(
        device=found.st_dev,
        inode=found.st_ino,
        offset=offset,
        head=hashlib.sha256(head).hexdigest(),
        head_bytes=len(head),
    )


def _is_file(descriptor: int, place: Place) -> bool:
    """Return whether a place was one of this file, which may have been emptied since."""
    if descriptor < 0:
        return False
    found = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (place.device, place.inode)


def _is_in(descriptor: int, place: Place) -> bool:
    """Return whether a place is one of this file: the same, and not emptied since."""
    if not _is_file(descriptor, place):
        return False
    found = os.fstat(descriptor)
    head = os.pread(descriptor, min(place.head_bytes, _HEAD_BYTES), 0)
    is_same = hashlib.sha256(head).hexdigest() == place.head
    return is_same and 0 <= place.offset <= found.st_size


def _lines(descriptor: int, place: Place) -> Iterator[Read]:
    """Yield complete lines; the head is remembered as far as it is there by now."""
    content = os.pread(descriptor, MOST_BYTES, place.offset)
    while b"\n" not in content and len(content) >= MOST_BYTES:
        if len(content) > LONGEST_LINE_BYTES:
            after = place.offset + len(content)
            yield Read({}, replace(place, offset=after))
            return
        more = os.pread(descriptor, MOST_BYTES, place.offset + len(content))
        if not more:
            return
        content += more
    place = replace(_place(descriptor, 0), offset=place.offset)
    end = content.rfind(b"\n") + 1
    for line in content[:end].splitlines(keepends=True):
        place = replace(place, offset=place.offset + len(line))
        yield Read(_decoded(line), place)


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
