"""What a command prints: it goes through a pipe into a log, up to a limit.

The command has no descriptor of the log: it can neither empty it nor fill the disk by it.
"""

from __future__ import annotations

import os

KEPT_BYTES = 64 << 20
_PIECE_BYTES = 1 << 16
_MOST_PIECES = 64
"""In one go, so that a command that prints without end is still timed."""


class Output:
    """The output of one command."""

    def __init__(self, log: int) -> None:
        """*log* is a descriptor of the file that gets it."""
        self._log, self._left = log, KEPT_BYTES
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when the command has printed."""
        return self._read_end

    def take(self) -> bool:
        """Write what was printed to the log; return whether more may come."""
        for _ in range(_MOST_PIECES):
            try:
                piece = os.read(self._read_end, _PIECE_BYTES)
            except BlockingIOError:
                return True
            if not piece:
                return False
            self._keep(piece)
        return True

    def _keep(self, piece: bytes) -> None:
        if not self._left:
            return
        kept = piece[: self._left]
        self._left -= len(kept)
        try:
            while kept:
                kept = kept[os.write(self._log, kept) :]
            if not self._left:
                note = f"\n(more than {KEPT_BYTES >> 20} MB: the rest is not kept)\n"
                os.write(self._log, note.encode())
        except OSError:
            self._left = 0  # the disk is full: the command goes on
