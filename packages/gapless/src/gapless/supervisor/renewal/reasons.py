"""The changes of files that are a reason to renew an app, until they are acted on."""

from __future__ import annotations

import os

from gapless.supervisor.renewal.ignored_paths import Ignored
from gapless.supervisor.renewal.own_writes import OwnWrites

MOST = 256
"""Of more changes at once the rest is not named."""
MOST_ENTRIES = 2000
"""A new directory with more in it is a reason, whoever made it."""


class Reasons:
    """Collects the changes that are not the app's own doing."""

    def __init__(self, own: OwnWrites, ignored: Ignored) -> None:
        self._own, self._ignored = own, ignored
        self._paths: dict[str, None] = {}
        self._made: dict[str, None] = {}
        """Files that came into being since the last renewal."""

    def __bool__(self) -> bool:
        """Return whether there may be a reason."""
        return bool(self._paths)

    def add(self, path: str) -> bool:
        """Take in a change; return whether it may be a reason."""
        if path in self._paths:
            return not self._own.owns(path)
        if self._own.owns(path):
            return False
        if len(self._paths) < MOST:
            self._paths[path] = None
        return True

    def made(self, path: str) -> None:
        """Take in that a file came into being; `changed` follows."""
        self._own.look()
        if len(self._made) < MOST:
            self._made[path] = None

    def put_back(self, paths: list[str]) -> None:
        """Keep changes that could not be acted on."""
        self._paths |= dict.fromkeys(paths)

    def clear(self) -> None:
        """Forget all of them."""
        self._paths.clear()
        self._made.clear()

    def take(self) -> list[str]:
        """Return the changes that are a reason after all, and forget all of them."""
        found = [path for path in self._paths if self._counts(path)]
        self.clear()
        return found

    def _counts(self, path: str) -> bool:
        if self._own.owns(path):
            return False
        if path in self._made and not os.path.lexists(path):
            return False  # it came and went: a lock, a journal, an editor's trial
        if os.path.isdir(path) and not os.path.islink(path):
            return self._has_files(path)
        return True

    def _has_files(self, top: str) -> bool:
        """Return whether a file is in a directory that the app did not put there."""
        left = MOST_ENTRIES
        for directory, inside, names in os.walk(top):
            paths = [os.path.join(directory, name) for name in names]
            if any(p not in self._ignored and not self._own.owns(p) for p in paths):
                return True
            left -= len(names) + len(inside)
            if left < 0:
                return True
        return False
