"""A coordinator in a directory that all hosts mount.

Each key is a directory, each of its versions a file there: see `version_files`.
"""

from __future__ import annotations

import os
import select
import urllib.parse
from collections.abc import Callable, Mapping

from gapless.base import clock
from gapless.base.errors import UnavailableError
from gapless.coordinator import model
from gapless.coordinator.files import Files
from gapless.coordinator.model import ABSENT, Entry
from gapless.coordinator.version_files import KEY_MARK, BrokenKeyError, VersionFiles

POLL_S = 0.5
"""Writes of other hosts raise no event here, so the directory is read again and again."""


class DirectoryCoordinator:
    """Hosts share it; see `model.Coordinator`."""

    def __init__(
        self, root: str, complain: Callable[[str], None], files: Files | None = None
    ) -> None:
        """*complain* is called once for each file that cannot be trusted."""
        self._root = os.path.abspath(root)
        self._files = VersionFiles(files or Files(self._root), complain)

    def read(self, key: str) -> Entry | None:
        """Return the entry of a key; None if the key does not exist."""
        return self._files.newest(self._directory(model.check_key(key))).entry

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return every key below `prefix/`; one that is broken is reported and left out."""
        top = self._directory(model.check_key(prefix))
        found, size = {}, 0
        for key in sorted(self._keys(top, prefix)):
            try:
                entry = self.read(key)
            except BrokenKeyError as error:
                self._files.report(self._directory(key), error.reason or error.message)
                continue
            if entry is None:
                continue
            size += len(entry.value)
            if size > model.MOST_BYTES:
                raise _too_much(prefix, f"{model.MOST_BYTES >> 20} MiB")
            found[key] = entry
        return found

    def write(self, key: str, value: bytes, *, expected: int) -> Entry:
        """Write if the version is still the expected one.  Raises ConflictError."""
        model.check_value(model.check_key(key), value)
        return Entry(self._add(key, value.decode("latin-1"), expected), value)

    def remove(self, key: str, *, expected: int) -> None:
        """Remove if the version is still the expected one.  Raises ConflictError."""
        if expected != ABSENT or self.read(key) is not None:
            self._add(model.check_key(key), None, expected)

    def wait(
        self, prefix: str, seen: Mapping[str, int], timeout_s: float
    ) -> dict[str, Entry]:
        """Return every key below `prefix/` once the versions differ from *seen*."""
        deadline = clock.monotonic() + timeout_s
        while True:
            found = self.read_all(prefix)
            left_s = deadline - clock.monotonic()
            if model.versions(found) != seen or left_s <= 0:
                return found
            select.select([], [], [], min(POLL_S, left_s))

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def _add(self, key: str, value: str | None, expected: int) -> int:
        directory = self._directory(key)
        newest = self._files.newest(directory)
        found = newest.entry.version if newest.entry else ABSENT
        if found != expected:
            raise model.conflict(key, expected, found)
        number = self._files.add(directory, newest, value)
        if number is None:
            raise model.conflict(key, expected, newest.number + 1)
        return number

    def _directory(self, key: str) -> str:
        pieces = [
            KEY_MARK + urllib.parse.quote(piece, safe="") for piece in key.split("/")
        ]
        return os.path.join(self._root, *pieces)

    def _keys(self, top: str, prefix: str) -> list[str]:
        """Return the keys whose directories are below *top*, with or without a value."""
        found: list[str] = []
        waiting = [(prefix, top)]
        while waiting:
            above, directory = waiting.pop()
            for name in self._names(directory, is_top=directory == top):
                if not name.startswith(KEY_MARK):
                    continue
                key = f"{above}/{urllib.parse.unquote(name[len(KEY_MARK) :])}"
                below = f"{directory}/{name}"
                if not model.is_key(key) or self._directory(key) != below:
                    self._files.report(below, "it is not the directory of a key")
                    continue
                found.append(key)
                waiting.append((key, below))
                if len(found) > model.MOST_KEYS:
                    raise _too_much(prefix, f"{model.MOST_KEYS} keys")
        return found

    def _names(self, directory: str, *, is_top: bool) -> list[str]:
        """Return the names in a directory; none if it is broken and not the top."""
        try:
            return self._files.names(directory)
        except BrokenKeyError as error:
            if is_top:
                raise
            self._files.report(directory, error.reason or error.message)
            return []


def _too_much(prefix: str, most: str) -> UnavailableError:
    return UnavailableError(
        f"below {prefix} there is more than {most}",
        hint="remove what gapless did not write from the coordinator",
    )
