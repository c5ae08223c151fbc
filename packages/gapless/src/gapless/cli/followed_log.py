"""A log file that is printed while it grows, across rotations too."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

TAIL_BYTES = 1 << 20


class Followed:
    """One log file, followed by what it is, not by its name."""

    def __init__(self, path: str, out: BinaryIO | None = None) -> None:
        self.path, self._out = path, out or sys.stdout.buffer
        self._file: BinaryIO | None = None

    def print_last(self, count: int) -> None:
        """Print the last lines there are."""
        if not self._open():
            return
        assert self._file is not None
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - TAIL_BYTES))
        lines = self._file.read().splitlines(keepends=True)
        self._write(b"".join(lines[-count:] if count > 0 else []))

    def skip(self) -> None:
        """Leave out what is there."""
        if self._open():
            assert self._file is not None
            self._file.seek(0, os.SEEK_END)

    def print_new(self) -> bool:
        """Print what was added; tell whether there was anything.

        A file that was moved aside is read to its end before the next one is opened.
        """
        if self._file is None and not self._open():
            return False
        assert self._file is not None
        piece = self._file.read(TAIL_BYTES)
        if piece:
            self._write(piece)
            return True
        following = self._next()
        if following is None:
            return False
        rest = self._file.read()  # written between our read and the move
        self._write(rest)
        self._file.close()
        self._file = following
        return True

    def _next(self) -> BinaryIO | None:
        """Return the file that was begun after ours, if ours was moved aside."""
        assert self._file is not None
        ours = os.fstat(self._file.fileno())
        newer = self.path
        number = 0
        while True:
            name = f"{self.path}.{number}" if number else self.path
            try:
                found = os.stat(name)
            except FileNotFoundError:
                if number:
                    return self._open_other(self.path)  # ours was removed
                return None
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                return None if number == 0 else self._open_other(newer)
            newer, number = name, number + 1

    def _open_other(self, path: str) -> BinaryIO | None:
        try:
            return open(path, "rb")
        except FileNotFoundError:
            return None

    def _open(self) -> bool:
        self._file = self._open_other(self.path)
        return self._file is not None

    def _write(self, piece: bytes) -> None:
        self._out.write(piece)
        self._out.flush()
