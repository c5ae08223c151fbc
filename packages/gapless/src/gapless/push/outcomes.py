"""The release server's side: keep what became of each upload where its pusher may read it.

One small file an upload, `src/.outcomes/NAME.json`, replaced as a whole.  An account that
cannot be kept (a full disk) fails no release: it is named, once.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace

from gapless.base import clock, files
from gapless.push.outcome import FOLDER, OVER, Outcome, decode, encode

KEPT = 200


class Account:
    """The outcomes of the uploads of one inbox.  Threads may share it."""

    def __init__(self, inbox: str, complain: Callable[[str], None]) -> None:
        self._folder, self._complain = f"{inbox}/{FOLDER}", complain
        self._lock = threading.Lock()
        self._trouble = ""
        self._open: dict[str, Outcome] = {}

    def load(self) -> None:
        """Find what an earlier publisher had told last.  Raises OSError."""
        with self._lock:
            for outcome in map(self._read, self._names()):
                if outcome is not None and outcome.stage not in OVER:
                    self._open.setdefault(outcome.upload, outcome)

    def tell(self, outcome: Outcome, *, instead_of: Outcome | None = None) -> None:
        """Write an outcome; with *instead_of*, only if that was the last one."""
        with self._lock:
            before = self._open.get(outcome.upload)
            if instead_of is not None and before != instead_of:
                return
            told = replace(outcome, at=clock.stamp(clock.wall()))
            self._open[told.upload] = told
            try:
                self._write(told, is_new=before is None)
            except OSError as error:
                self._name(f"could not keep account in {self._folder}: {error}")
            else:
                self._trouble = ""
            if told.stage in OVER:
                del self._open[told.upload]

    def open(self, app: str) -> list[Outcome]:
        """Return the outcomes of an app of which more is to be told."""
        with self._lock:
            return [o for o in self._open.values() if o.app == app]

    def _write(self, outcome: Outcome, *, is_new: bool) -> None:
        os.makedirs(self._folder, exist_ok=True)
        files.write_atomically(self._path(outcome.upload), encode(outcome), 0o644)
        if is_new:
            self._prune()

    def _read(self, name: str) -> Outcome | None:
        """Return what stands in a file, if it can be trusted."""
        try:
            with open(f"{self._folder}/{name}", "rb") as file:
                return decode(file.read())
        except (OSError, ValueError):
            return None

    def _path(self, upload: str) -> str:
        return f"{self._folder}/{upload}.json"

    def _names(self) -> list[str]:
        try:
            return [n for n in os.listdir(self._folder) if n.endswith(".json")]
        except FileNotFoundError:
            return []

    def _prune(self) -> None:
        paths = [f"{self._folder}/{name}" for name in self._names()]
        for path in sorted(paths, key=_changed_ns)[:-KEPT]:
            with contextlib.suppress(FileNotFoundError):  # another publisher was faster
                os.unlink(path)

    def _name(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._complain(trouble)


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0
