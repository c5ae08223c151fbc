"""What lies in the inbox, and whether it is complete.

"The same size for a second" is not "complete": an upload may pause.  A tarball counts
as complete when its checksum file says so; or when it has not changed between two looks
and the archive can be read to its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass

from gapless.base import clock
from gapless.releases.model import ReleaseSpec
from gapless.releases.unpack import BROKEN

ENDINGS = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
CHECKSUM_ENDINGS = (".sha256", ".sha256sum")
STALE_S = 60.0
PART = ".part"
"""A hidden file that ends so is an upload under way, of `gapless push` over ssh."""
LOCKED_PART = ".part-locked"
"""The same in a mounted directory: its writer holds a lock (flock) on it."""
LOCKS_WITHIN_S = 5.0
ABANDONED_S = 86_400.0
"""A part that has not grown for so long never will."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a file looked at one moment."""

    size_bytes: int
    changed_ns: int
    inode: int


def owner(apps: Iterable[str], name: str) -> str:
    """Return whose an upload is: `example.tar.gz`, `example-1.2.tar.gz`...; or nobody's.

    `shop-admin.tar.gz` is of the app shop-admin, if there is one, not a version of shop.
    """
    stem = next((name[: -len(e)] for e in ENDINGS if name.endswith(e)), "")
    fitting = [app for app in apps if stem == app or stem.startswith(f"{app}-")]
    return max(fitting, key=len, default="")


def tarballs(spec: ReleaseSpec, apps: Iterable[str]) -> list[str]:
    """Return the uploads of one of the *apps* that lie in its inbox, oldest first."""
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


def remove_abandoned(inbox: str) -> None:
    """Remove what uploads left that were killed, or whose connection broke."""
    with contextlib.suppress(FileNotFoundError), os.scandir(inbox) as entries:
        for entry in entries:
            locked = entry.name.endswith(LOCKED_PART)
            if not entry.name.startswith(".") or not (
                locked or entry.name.endswith(PART)
            ):
                continue
            with contextlib.suppress(OSError):  # gone, or another user's to remove
                old_s = clock.wall() - entry.stat(follow_symlinks=False).st_mtime
                bound_s = LOCKS_WITHIN_S if locked else ABANDONED_S
                if old_s > bound_s and not (locked and _is_held(entry.path)):
                    os.unlink(entry.path)


def _is_held(path: str) -> bool:
    """Tell whether somebody holds a lock on a file, or it cannot be known."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def is_stale(path: str) -> bool:
    """Tell whether an upload has not changed for a while: it may never be complete."""
    found = look(path)
    return found is not None and clock.wall() - found.changed_ns / 1e9 > STALE_S


def look(path: str) -> Look | None:
    """Return how a file looks now, or None if it is not there."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return Look(found.st_size, found.st_mtime_ns, found.st_ino)


def looks(path: str) -> tuple[Look | None, ...]:
    """Return how a file and its checksum look now: what `is_complete` depends on."""
    return tuple(look(path + ending) for ending in ("", *CHECKSUM_ENDINGS))


def is_complete(path: str, before: Look | None) -> tuple[bool, str]:
    """Tell whether an upload is complete, and if not, why; *before* is the last look."""
    for ending in CHECKSUM_ENDINGS:
        if os.path.isfile(path + ending):
            return _matches(path, path + ending)
    now = look(path)
    if now is None or now != before:
        return False, "it is changing, or was not seen before"
    try:
        with tarfile.open(path, "r:*") as archive:
            for _ in archive:
                pass
    except BROKEN as error:
        return False, f"it cannot be read to its end: {error}"
    except OSError as error:
        return False, f"it cannot be read: {error}"
    return True, ""


def _matches(path: str, checksum: str) -> tuple[bool, str]:
    with open(checksum, encoding="ascii", errors="replace") as file:
        wanted = (file.read().split() or [""])[0].lower()
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    if digest.hexdigest() == wanted:
        return True, ""
    return False, f"it does not match {os.path.basename(checksum)} yet"
