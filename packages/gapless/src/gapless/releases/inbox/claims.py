"""Claimed uploads, and what a publisher that died has left.

An upload that is being published lies in the work directory as `claimed-NAME`.  Once its
release has its place in dist/, the file `placed-NAME` holds the name of the release.
`finish` removes both.  All functions but `claimed_upload` and `recover` need the
publisher's lock.
"""

from __future__ import annotations

import os
import shutil

from gapless.base import files
from gapless.releases import current, paths, publisher_lock
from gapless.releases.inbox import refused
from gapless.releases.inbox.uploads import CHECKSUM_ENDINGS
from gapless.releases.model import Release, ReleaseSpec

CLAIMED, PLACED, COPY, REMOVED = "claimed-", "placed-", "copy-", "removed-"
"""How names in the work directory begin."""
_PERMANENT = (publisher_lock.PUBLISHING, publisher_lock.SETTLING, "link")
"""Names in the work directory that `clean_up` leaves alone."""


def claimed_upload(spec: ReleaseSpec) -> str:
    """Return the name of the upload that is claimed; empty if none is."""
    names = [n for n in paths.names_in(spec.work) if n.startswith(CLAIMED)]
    return names[0].removeprefix(CLAIMED) if names else ""


def claim(spec: ReleaseSpec, tarball: str) -> str:
    """Move an upload, or copy a tarball from elsewhere, to the work directory.

    Returns its new path.
    """
    name = os.path.basename(tarball)
    os.makedirs(spec.inbox, exist_ok=True)
    if os.path.realpath(os.path.dirname(tarball) or ".") == os.path.realpath(
        spec.inbox
    ):
        claimed = f"{spec.work}/{CLAIMED}{name}"
        os.rename(tarball, claimed)
        for ending in CHECKSUM_ENDINGS:
            # The next upload of that name brings its own checksum.
            paths.remove(tarball + ending)
    else:
        claimed = f"{spec.work}/{CLAIMED}{COPY}{name}"
        shutil.copyfile(tarball, claimed)
    return claimed


def note_placed(spec: ReleaseSpec, claimed: str, release: Release) -> None:
    """Write down which release a claimed upload became."""
    name = os.path.basename(claimed).removeprefix(CLAIMED)
    files.write_json(f"{spec.work}/{PLACED}{name}", release.name, 0o644)


def finish(spec: ReleaseSpec) -> None:
    """End the claim: its release serves, has failed, or its rollout has begun."""
    # The claimed upload goes first: a note without its upload means nothing.
    for beginning in (CLAIMED, PLACED):
        for name in paths.names_in(spec.work):
            if name.startswith(beginning):
                os.unlink(f"{spec.work}/{name}")


def put_back(claimed: str, tarball: str) -> None:
    """Undo `claim`, unless there is a newer upload of that name."""
    if os.path.exists(tarball):
        os.unlink(claimed)
    else:
        os.rename(claimed, tarball)


def refuse(spec: ReleaseSpec, claimed: str, name: str, reason: str) -> None:
    """End the claim of an upload that became no release; the upload stays in refused/.

    A copy of a tarball from elsewhere is removed.
    """
    if os.path.basename(claimed).startswith(CLAIMED + COPY):
        os.unlink(claimed)
    else:
        refused.move_to_refused(spec, claimed, name, reason)


# --- what a publisher that died has left ----------------------------------------------


def unfinished_release(spec: ReleaseSpec) -> Release | None:
    """Return the release that a publisher placed and did not finish.

    The caller goes on with it, and calls `finish` then.
    """
    for name in paths.names_in(spec.work):
        if name.startswith(PLACED):
            placed = files.read_json(f"{spec.work}/{name}")
            claimed = f"{spec.work}/{CLAIMED}{name.removeprefix(PLACED)}"
            if os.path.exists(claimed):
                for release in current.releases(spec):
                    if release.name == placed:
                        return release
    return None


def recover(spec: ReleaseSpec) -> bool:
    """Clean up after a publisher that died, unless another one is at work.

    Returns whether there is a release to go on with: see `unfinished_release`.
    """
    if not claimed_upload(spec):
        return False
    with publisher_lock.try_hold(spec) as is_held:
        if not is_held:
            return False
        if unfinished_release(spec) is not None:
            return True
        clean_up(spec)
    return False


def clean_up(spec: ReleaseSpec) -> None:
    """Remove what a publisher that died has left; put its claimed upload back.

    An upload that is a release already is removed: a newer publication has begun.
    """
    os.makedirs(spec.work, exist_ok=True)
    if unfinished_release(spec) is not None:
        finish(spec)
    for name in os.listdir(spec.work):
        path = f"{spec.work}/{name}"
        if name in _PERMANENT or name.startswith(REMOVED):
            continue
        if name.startswith(CLAIMED):
            _put_back_in_inbox(spec, path, name.removeprefix(CLAIMED))
        else:
            paths.remove(path)


def _put_back_in_inbox(spec: ReleaseSpec, claimed: str, name: str) -> None:
    """Put a claimed upload back, unless there is a newer upload of that name."""
    if name.startswith(COPY) or os.path.lexists(f"{spec.inbox}/{name}"):
        os.unlink(claimed)
    else:
        os.rename(claimed, f"{spec.inbox}/{name}")
