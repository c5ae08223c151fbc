"""The uploads in an inbox: of which app each is, and in which order they came."""

from __future__ import annotations

import os
from collections.abc import Iterable

from gapless.releases.model import ReleaseSpec
from gapless.releases.tarballs import ending_of

CHECKSUM_ENDINGS = (".sha256", ".sha256sum")
"""A checksum file has the name of its upload and one of these endings."""


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
    try:
        names = os.listdir(spec.inbox)
    except FileNotFoundError:
        return []
    own = [name for name in sorted(names) if owner(apps, name) == spec.app]
    return sorted((f"{spec.inbox}/{name}" for name in own), key=arrived_ns)


def arrived_ns(path: str) -> int:
    """Return when a file got its name: a rename sets its ctime, mtime may be copied."""
    try:
        return os.stat(path).st_ctime_ns
    except FileNotFoundError:
        return 0
