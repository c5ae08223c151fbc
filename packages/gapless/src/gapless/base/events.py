"""The log of gapless itself: one JSON object per line, one event per object."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import clock, files
from gapless.base.outside import secrets
from gapless.base.outside.text import printable

ROTATE_BYTES = 5 << 20


class Log:
    """Appends events to a file; a full disk costs events, and stops no app."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; a file beyond `ROTATE_BYTES` becomes `PATH.1`."""
        line = {"time": clock.stamp(clock.wall()), "event": event, **fields}
        encoded = files.as_json(secrets.shown(line), default=str)
        try:
            self._append(encoded)
        except OSError:
            return  # there is no other place to report that the log cannot be written

    def _append(self, encoded: bytes) -> None:
        if self._descriptor >= 0 and not self._is_current():
            os.close(self._descriptor)
            self._descriptor = -1
        if self._descriptor < 0:
            how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
            self._descriptor = files.open_own(self.path, how)
        os.write(self._descriptor, encoded)
        if os.fstat(self._descriptor).st_size > ROTATE_BYTES:
            os.replace(self.path, f"{self.path}.1")

    def _is_current(self) -> bool:
        """Return whether what is open is still the file of that name."""
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))


def traceback_of(error: BaseException) -> str:
    """Return where an error that nobody foresaw came from, as far as it can be found.

    What an error quotes from outside is escaped: it may be printed on a terminal.
    """
    try:
        import traceback  # noqa: PLC0415 - only for faults of our own

        found = "".join(traceback.format_exception(error, limit=-20))[-4000:]
        return printable(found, kept="\n\t")
    except (ImportError, OSError, RecursionError):  # no descriptor or stack is left
        return ascii(error)
