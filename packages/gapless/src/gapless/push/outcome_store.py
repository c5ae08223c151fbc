"""The outcomes of the uploads of one inbox, as files that pushers read.

Each upload has one small file, `outcomes/NAME.json`, which is replaced as a whole.  Only
the publisher writes there: whoever may upload cannot say what became of an upload.
If it cannot be written (a full disk), no release fails: that is reported, once.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace

from gapless.base import clock, files
from gapless.base.outside import files as outside_files
from gapless.push.outcome import (
    FINAL,
    FOLDER,
    MOST_BYTES,
    OLD_FOLDER,
    Outcome,
    decode,
    encode,
)
from gapless.releases import paths
from gapless.releases.inbox import old_layout, uploads

KEPT = 200
_MOST_OLD = 1000
"""Names of the old layout that are looked at: uploaders may have put more there."""


class OutcomeStore:
    """Writes outcomes, and remembers those that are not final.  Threads may share it."""

    def __init__(self, base: str, print_line: Callable[[str], None]) -> None:
        """Prepare; *base* is the directory with src/ and dist/ in it."""
        self._folder, self._print_line = f"{base}/{FOLDER}", print_line
        self._inbox = f"{base}/src"
        self._lock = threading.Lock()
        self._trouble = ""
        """The last error in writing; empty since a write succeeded."""
        self._unfinished: dict[str, Outcome] = {}

    def load(self) -> None:
        """Read the outcomes that earlier publishers wrote, those of the old layout too.

        Raises OSError.
        """
        files.remove_parts(self._folder)
        old = old_layout.names(self._inbox, OLD_FOLDER)[:_MOST_OLD]
        with self._lock:
            self._make_folder()
            for outcome in map(self._read, sorted({*self._names(), *old})):
                if outcome is not None and outcome.stage not in FINAL:
                    self._unfinished.setdefault(outcome.upload, outcome)

    def _make_folder(self) -> None:
        """Make the directory, so that pushers do not look for outcomes in src/."""
        if os.path.isdir(self._inbox):  # else the file system may not be mounted
            try:
                paths.make_own(self._folder)
            except OSError as error:
                self._report(f"could not write outcomes in {self._folder}: {error}")

    def refresh(self, upload: str) -> bool:
        """Read an outcome that another publisher may have ended; return whether it has."""
        with self._lock:
            outcome = self._read(f"{upload}.json")
            if outcome is None:
                return False
            if outcome.stage in FINAL:
                self._unfinished.pop(upload, None)
                return True
            before = self._unfinished.get(upload)
            self._unfinished[upload] = outcome
            return before is not None and before.at != outcome.at  # it is at work

    def write(self, outcome: Outcome, *, expected: Outcome | None = None) -> None:
        """Write an outcome; with *expected*, only if that was the last one."""
        with self._lock:
            before = self._unfinished.get(outcome.upload)
            if expected is not None and before != expected:
                return
            stamped = replace(outcome, at=clock.stamp(clock.wall()))
            self._unfinished[stamped.upload] = stamped
            try:
                self._write_file(stamped, is_new=before is None)
            except OSError as error:
                self._report(f"could not write outcomes in {self._folder}: {error}")
            else:
                self._trouble = ""
            if stamped.stage in FINAL:
                del self._unfinished[stamped.upload]

    def unfinished(self, app: str) -> list[Outcome]:
        """Return the outcomes of an app that are not final."""
        with self._lock:
            return [o for o in self._unfinished.values() if o.app == app]

    def _write_file(self, outcome: Outcome, *, is_new: bool) -> None:
        paths.make_own(self._folder)
        path = f"{self._folder}/{outcome.upload}.json"
        files.write_atomically(path, encode(outcome), 0o644)
        if is_new:
            self._prune()

    def _read(self, name: str) -> Outcome | None:
        """Return the outcome in a file; None if it cannot be read or is no record."""
        try:
            content = outside_files.read(f"{self._folder}/{name}", MOST_BYTES)
        except FileNotFoundError:
            content = old_layout.read(self._inbox, OLD_FOLDER, name) or b""
        except OSError:
            return None
        try:
            outcome = decode(content)
        except (ValueError, RecursionError):
            return None
        is_own = name == f"{outcome.upload}.json" and uploads.is_plain(outcome.upload)
        return outcome if is_own else None

    def _names(self) -> list[str]:
        try:
            return [n for n in os.listdir(self._folder) if n.endswith(".json")]
        except FileNotFoundError:
            return []

    def _prune(self) -> None:
        found = [f"{self._folder}/{name}" for name in self._names()]
        for path in sorted(found, key=_changed_ns)[:-KEPT]:
            with contextlib.suppress(FileNotFoundError):  # another publisher removed it
                os.unlink(path)

    def _report(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._print_line(trouble)


def _changed_ns(path: str) -> int:
    try:
        return os.lstat(path).st_mtime_ns
    except FileNotFoundError:
        return 0
