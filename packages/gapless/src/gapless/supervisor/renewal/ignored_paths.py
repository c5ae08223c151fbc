"""Which changes of files are ignored.  Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from gapless.supervisor.decide.files.path_patterns import expression

DEFAULT = (".*", "node_modules")


class Ignored:
    """The paths whose changes are ignored.

    An entry without a slash is a name or a pattern for names (`node_modules`, `*.log`):
    everything under a directory of that name is ignored.  One with a slash is a path or
    a pattern for paths, relative to the app's directory, `**` for any number of
    directories (`logs/*.txt`, `src/**/*.snap`, `/var/cache`).

    *own* are beginnings of paths that gapless itself writes: a renewal that makes a pid
    file must not be the reason of the next one.
    """

    def __init__(
        self,
        directory: str,
        entries: Iterable[str] | None,
        own: Iterable[str] = (),
    ) -> None:
        self._directory, self._own = directory, tuple(own)
        wanted = DEFAULT if entries is None else tuple(entries)
        self._names = tuple(e.rstrip("/") for e in wanted if "/" not in e.rstrip("/"))
        self._paths = tuple(
            re.compile(expression(directory, e)) for e in wanted if "/" in e.rstrip("/")
        )

    def __contains__(self, path: str) -> bool:
        """Return whether a path, or a directory above it, is ignored."""
        if path.startswith(self._own):
            return True
        prefix = f"{self._directory}/"
        below = path[len(prefix) :] if path.startswith(prefix) else path.lstrip("/")
        named = any(
            fnmatch.fnmatchcase(piece, name)
            for piece in below.split("/")
            for name in self._names
        )
        return named or any(pattern.match(path) for pattern in self._paths)
