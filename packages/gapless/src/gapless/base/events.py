"""The log of gapless itself: one JSON object per line, one event per object."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import clock, descriptors, files
from gapless.base.outside import secrets

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
            descriptors.close(self._descriptor)
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
