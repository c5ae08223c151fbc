"""Where in the memory that outlives the keeper it says who its guardian is.

There are two words: the pid, and when that process began; 0 where nobody has noted it.
"""

from __future__ import annotations

import os
import sys

from gapless.keeper.guardian import process

_AT, _WORD_BYTES = 8, 8


def note(descriptor: int, pid: int) -> None:
    """Note which guardian has everything.  Raises OSError."""
    words = ((1, 0), (0, pid), (1, process.began_at(pid)))  # never another one's time
    for at, word in words:
        encoded = word.to_bytes(_WORD_BYTES, sys.byteorder)
        os.pwrite(descriptor, encoded, _AT + at * _WORD_BYTES)


def guardian_in(descriptor: int) -> int:
    """Return the guardian that has everything; 0 if there is none yet."""
    return _words(descriptor)[0]


def is_anothers(descriptor: int, own: int, own_began: int) -> bool:
    """Return whether another guardian than *own*, which began then, has everything.

    One that began before it, and has ended, has been followed by it: their keeper may have
    died before it could note that.
    """
    noted, began = _words(descriptor)
    if noted in (0, own):
        return False
    has_ended = began and process.began_at(noted) != began
    return not (has_ended and began < own_began)


def _words(descriptor: int) -> tuple[int, int]:
    """Return both words; zeros where there is no memory (-1)."""
    found = os.pread(descriptor, 2 * _WORD_BYTES, _AT) if descriptor >= 0 else b""
    first, second = found[:_WORD_BYTES], found[_WORD_BYTES:]
    return int.from_bytes(first, sys.byteorder), int.from_bytes(second, sys.byteorder)
