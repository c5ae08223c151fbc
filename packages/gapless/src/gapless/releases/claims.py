"""Whose turn it is, and which upload it has: what of a publisher that died can be found.

A tarball that is being published lies in the work directory as `claimed-NAME`.  Once it
is a release, `placed-NAME` says which; both go when that was brought on.  Everything here
but `recover` and `lock` is called with the lock held.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from gapless.base import clock, files
from gapless.releases import current, inbox
from gapless.releases.model import Release, ReleaseSpec

Progress = Callable[[str, str], None]
SETTLING = "settling"
"""The lock of who sees to the end of a rollout: a long build does not hold it up."""
_LASTING = ("lock", SETTLING, "link")
"""In the work directory, and none of a publisher's that died."""
REASON = ".reason.txt"
KEPT_REFUSED = 20
"""Of all apps of an inbox: each push has a name of its own."""
CLAIMED, PLACED, COPY, REMOVED = "claimed-", "placed-", "copy-", "removed-"


def placed(spec: ReleaseSpec) -> Release | None:
    """Return the release that a publisher made and died before it was brought on.

    Call it with the lock held, and `finish` afterwards.
    """
    for name in listed(spec.work):
        if name.startswith(PLACED):
            found = files.read_json(f"{spec.work}/{name}")
            claimed = f"{spec.work}/{CLAIMED}{name.removeprefix(PLACED)}"
            if os.path.exists(claimed):
                for release in current.releases(spec):
                    if release.name == found:
                        return release
    return None


def upload_of(spec: ReleaseSpec) -> str:
    """Return the name of the upload that is claimed, if one is."""
    found = [n for n in listed(spec.work) if n.startswith(CLAIMED)]
    return found[0].removeprefix(CLAIMED) if found else ""


def finish(spec: ReleaseSpec) -> None:
    """Forget the tarball that was claimed: its release was brought on."""
    # In this order: a note without its tarball means nothing.
    for beginning in (CLAIMED, PLACED):
        for name in listed(spec.work):
            if name.startswith(beginning):
                os.unlink(f"{spec.work}/{name}")


@contextmanager
def lock(
    spec: ReleaseSpec, progress: Progress, name: str = "lock"
) -> Iterator[ReleaseSpec]:
    """Let one publisher of an app at a time go on; the second waits, and says so.

    Yields the spec with which commands are run: they inherit the lock, so that a
    migration of a publisher that was killed ends before the next one begins.

    flock(2) also holds between clients of one NFS server since Linux 2.6.12.
    """
    os.makedirs(spec.work, exist_ok=True)
    os.makedirs(spec.inbox, exist_ok=True)
    with open(f"{spec.work}/{name}", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another publisher"
            does = (
                "sees to the end of a rollout of" if name == SETTLING else "publishes"
            )
            progress("waiting", f"{holder} {does} {spec.app}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {os.uname().nodename}")
        file.flush()
        try:
            yield replace(spec, held=(file.fileno(),))
        finally:
            # Not only by closing: what a command left running holds it open.
            fcntl.flock(file, fcntl.LOCK_UN)


def recover(spec: ReleaseSpec) -> bool:
    """Take up what a publisher that died had claimed, unless one is at work.

    Tells whether a release is to be brought on: see `placed`.
    """
    if not upload_of(spec):
        return False
    with open(f"{spec.work}/lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if placed(spec) is not None:
            return True
        clean_up(spec)
    return False


def clean_up(spec: ReleaseSpec) -> None:
    """Remove what a publisher left that died; its claimed tarball goes back.

    One that is a release already is forgotten: something newer is under way.
    Call it with the lock held.
    """
    os.makedirs(spec.work, exist_ok=True)
    if placed(spec) is not None:
        finish(spec)
    for name in os.listdir(spec.work):
        path = f"{spec.work}/{name}"
        if name in _LASTING or name.startswith(REMOVED):
            continue
        if name.startswith(CLAIMED):
            _take_back(spec, path, name.removeprefix(CLAIMED))
        else:
            remove(path)


def _take_back(spec: ReleaseSpec, path: str, name: str) -> None:
    """Put a claimed tarball back into the inbox, unless a newer upload is there."""
    if name.startswith(COPY) or os.path.lexists(f"{spec.inbox}/{name}"):
        os.unlink(path)
    else:
        os.rename(path, f"{spec.inbox}/{name}")


def claim(spec: ReleaseSpec, tarball: str) -> str:
    """Take an upload out of the inbox, or a copy from elsewhere; return where it is."""
    name = os.path.basename(tarball)
    os.makedirs(spec.inbox, exist_ok=True)
    if os.path.realpath(os.path.dirname(tarball) or ".") == os.path.realpath(
        spec.inbox
    ):
        claimed = f"{spec.work}/{CLAIMED}{name}"
        os.rename(tarball, claimed)
        for ending in inbox.CHECKSUM_ENDINGS:
            # It has served its purpose; the next upload of that name has its own.
            remove(tarball + ending)
    else:
        claimed = f"{spec.work}/{CLAIMED}{COPY}{name}"
        shutil.copyfile(tarball, claimed)
    return claimed


def give_back(claimed: str, tarball: str) -> None:
    """Put an upload back where it was, unless a newer one is there."""
    if os.path.exists(tarball):
        os.unlink(claimed)
    else:
        os.rename(claimed, tarball)


def set_aside(spec: ReleaseSpec, claimed: str, name: str, reason: str) -> None:
    """Move a refused upload out of the way, with the reason; a copy is just removed.

    Of those that were refused before the newest stay.
    """
    if os.path.basename(claimed).startswith(CLAIMED + COPY):
        os.unlink(claimed)
        return
    refused = f"{spec.inbox}/refused"
    os.makedirs(refused, exist_ok=True)
    os.replace(claimed, f"{refused}/{name}")
    with open(f"{refused}/{name}{REASON}", "w", encoding="utf-8") as file:
        file.write(f"{clock.stamp(clock.wall())} {reason}\n")
    names = [each for each in os.listdir(refused) if not each.endswith(REASON)]
    names.sort(key=lambda each: inbox.arrived_ns(f"{refused}/{each}"))
    for each in names[:-KEPT_REFUSED]:
        remove(f"{refused}/{each}")
        remove(f"{refused}/{each}{REASON}")


def remove(path: str) -> None:
    """Remove a file, a link or a whole directory, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def listed(path: str) -> list[str]:
    """Return what lies in a directory; nothing if there is none."""
    return os.listdir(path) if os.path.isdir(path) else []
