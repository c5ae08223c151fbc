"""Which changes of files are an app's own doing: its database, its logs, its uploads.

A file is the app's own while one of its processes has it open for writing, and when one of
them was the last to write or to name it.  What is in a directory that the app made is its
own too, as long as nobody else is seen to write it, and so is what goes with a file of its
own: the journal of a database, the rotated copies of a log.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from gapless.base import clock
from gapless.supervisor.kernel import open_files
from gapless.supervisor.kernel.open_files import FileIdentity
from gapless.supervisor.renewal.doers import Doers

Kept = TypeVar("Kept")
Value = TypeVar("Value")

MOST_REMEMBERED = 4096
LOOK_SHARE = 4
"""After a look at all descriptors, none for so many times as long as it took."""
FOREIGN_S = 1.0
"""How long a process that is not the app's is not looked for again."""
KNOWN_S = 60.0
"""How long one that was the app's counts as such: its number may be another's later."""
_OF_A_DATABASE = ("-wal", "-shm", "-journal")


class OwnWrites:
    """Knows the files that the processes of one app write below some roots."""

    def __init__(self, roots: Iterable[str], pids: Callable[[], Iterable[int]]) -> None:
        """Use *pids* to learn the processes that the app has now."""
        self._roots = tuple(os.path.realpath(root) for root in roots)
        self._pids = pids
        self._known_pids: dict[int, float] = {}
        """Processes of the app, and until when that is taken for granted."""
        self._foreign: dict[int, float] = {}
        """Processes that are not the app's, and until when that is taken for granted."""
        self._held: dict[str, None] = {}
        """Files that were seen open for writing."""
        self._written: dict[FileIdentity, None] = {}
        """Files that one of its processes wrote last, or directories that it made."""
        self._of_others: dict[FileIdentity, None] = {}
        """Files that others wrote last."""
        self._names: dict[str, None] = {}
        """Names that one of its processes gave or took last."""
        self._look_after = 0.0
        self.doers = Doers(self)

    def owns(self, path: str) -> bool:
        """Return whether a change of a file is the app's own doing."""
        self.doers.read()
        path = _real(path)
        if self._is_known(path):
            return True
        self.look()
        return self._is_known(path)

    def _is_known(self, path: str) -> bool:
        if path in self._held or any(belongs_to(path, held) for held in self._held):
            return True
        found = _identity(path)
        if found is None:
            return path in self._names
        above = _identity(os.path.dirname(path))
        return found in self._written or (
            above in self._written and found not in self._of_others
        )

    def look(self) -> None:
        """Look at the descriptors of the app's processes, but not all the time."""
        began = clock.monotonic()
        if began < self._look_after:
            return
        pids = list(self._pids())
        self.remember(pids)
        found = open_files.open_for_writing(pids, self._roots)
        for path, identity in found.items():
            _keep(self._held, path, None)
            _keep(self._written, identity, None)
        now = clock.monotonic()
        self._look_after = now + LOOK_SHARE * (now - began)

    def remember(self, pids: Iterable[int]) -> None:
        """Remember processes of the app: what one wrote is its own when it has ended."""
        until = clock.monotonic() + KNOWN_S
        for pid in pids:
            _keep(self._known_pids, pid, until)

    def written(self, path: str, identity: FileIdentity, pid: int) -> None:
        """Take in who closed a file that was written."""
        self._note(path, identity, is_own=self._is_app(pid))

    def named(self, path: str, pid: int) -> None:
        """Take in by whom a name came or went."""
        self._note(path, _identity(path), is_own=self._is_app(pid))

    def _is_app(self, pid: int) -> bool:
        now = clock.monotonic()
        if now < self._known_pids.get(pid, 0.0):
            return True
        if now < self._foreign.get(pid, 0.0):
            return False  # it writes many files: a checkout, an rsync
        self.remember(self._pids())
        if now < self._known_pids.get(pid, 0.0):
            return True
        if len(self._foreign) >= MOST_REMEMBERED:
            self._foreign.clear()
        self._foreign[pid] = now + FOREIGN_S
        return False

    def _note(self, path: str, identity: FileIdentity | None, *, is_own: bool) -> None:
        if is_own:
            _keep(self._names, path, None)
        else:
            self._names.pop(path, None)
            self._held.pop(path, None)  # a look finds it again if it still is
        if identity is not None:
            others, own = self._of_others, self._written
            _keep(own if is_own else others, identity, None)
            (others if is_own else own).pop(identity, None)


def _identity(path: str) -> FileIdentity | None:
    """Return device and inode of a file, None if there is none."""
    try:
        return open_files.identity(os.lstat(path))
    except OSError:
        return None


def belongs_to(path: str, held: str) -> bool:
    """Return whether a file is by its name one that goes with another.

    `data.db-journal` goes with `data.db`, `app.log.1` with `app.log`; `index.js` does not
    go with `index`.
    """
    rest = path[len(held) :]
    if not rest or not path.startswith(held):
        return False
    if rest in _OF_A_DATABASE:
        return True
    has_ending = "." in os.path.basename(held).lstrip(".")
    return has_ending and rest[0] in "-._~" and "/" not in rest


def _real(path: str) -> str:
    """Return a path without symlinks in its directories, as the kernel shows it."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def _keep(found: dict[Kept, Value], key: Kept, value: Value) -> None:
    """Add to what is remembered, and forget the oldest if that is too much."""
    found.pop(key, None)
    found[key] = value
    if len(found) > MOST_REMEMBERED:
        del found[next(iter(found))]
