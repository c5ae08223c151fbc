"""The uploads in an inbox: of which app each is, and in which order they came."""

from __future__ import annotations

import os
from collections.abc import Iterable

from gapless.releases.model import ReleaseSpec
from gapless.releases.tarballs import ending_of

MOST_NAME_BYTES = 200
"""Names of files that belong to an upload are longer; a file system allows 255."""


def is_plain(name: str) -> bool:
    """Return whether an upload may have this name: people and file names can hold it.

    One with a line break, a control character or bytes that are not UTF-8 is not taken.
    """
    is_short = len(os.fsencode(name)) <= MOST_NAME_BYTES
    return name.isprintable() and is_short and "/" not in name


def owner(apps: Iterable[str], name: str) -> str:
    """Return the app of an upload: `example.tar.gz`, `example-1.2.tar.gz`...; or "".

    `shop-admin.tar.gz` is of the app shop-admin, if there is one, not a version of shop.
    """
    ending = ending_of(name)
    stem = name.removesuffix(ending) if ending else ""
    fitting = [app for app in apps if stem == app or stem.startswith(f"{app}-")]
    return max(fitting, key=len, default="")


def of_app(spec: ReleaseSpec, apps: Iterable[str]) -> list[str]:
    """Return the paths of an app's uploads, oldest first; *apps* share the inbox."""
    own = [f"{spec.inbox}/{name}" for name in _names(spec, apps) if is_plain(name)]
    return sorted(own, key=arrived_ns)


def misnamed(spec: ReleaseSpec, apps: Iterable[str]) -> list[str]:
    """Return the names in an app's inbox that would be its uploads, but are not plain."""
    return [name for name in _names(spec, apps) if not is_plain(name)]


def _names(spec: ReleaseSpec, apps: Iterable[str]) -> list[str]:
    try:
        names = os.listdir(spec.inbox)
    except FileNotFoundError:
        return []
    return [name for name in sorted(names) if owner(apps, name) == spec.app]


def arrived_ns(path: str) -> int:
    """Return when a file got its name: a rename sets its ctime, mtime may be copied."""
    try:
        return os.lstat(path).st_ctime_ns
    except OSError:
        return 0
