"""Claimed uploads, and what a publisher that died has left.

An upload that is being published lies in the work directory as `claimed-NAME`.  Which
release it becomes stands in the journal.  Earlier versions wrote that, once the release had
its place in dist/, to `placed-NAME`, which is still read.
`finish` removes both.  All functions but `claimed_upload` and `recover` need the
publisher's lock.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from gapless.base import files
from gapless.releases import current, file_state, paths, publisher_lock, reports
from gapless.releases.inbox import completeness, refused
from gapless.releases.inbox.uploads import CHECKSUM_ENDINGS
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.publisher import journal
from gapless.releases.publisher.journal import Change

CLAIMED, PLACED, COPY, REMOVED = "claimed-", "placed-", "copy-", "removed-"
"""How names in the work directory begin."""
_PERMANENT = (
    publisher_lock.PUBLISHING,
    publisher_lock.SETTLING,
    *current.PREPARED,
    journal.FILE,
    journal.RESERVE,
)
"""Names in the work directory that `clean_up` does not take for remains of a publish."""


def claimed_upload(spec: ReleaseSpec) -> str:
    """Return the name of the upload that is claimed; empty if none is."""
    names = [n for n in paths.names_in(spec.work) if n.startswith(CLAIMED)]
    return names[0].removeprefix(CLAIMED) if names else ""


def is_copy(upload: str) -> bool:
    """Return whether a claimed upload is a copy of a tarball from elsewhere."""
    return upload.startswith(COPY)


def name_when_claimed(spec: ReleaseSpec, tarball: str) -> str:
    """Return the name that a tarball has once it is claimed, without `claimed-`."""
    folder = os.path.realpath(os.path.dirname(tarball) or ".")
    is_upload = folder == os.path.realpath(spec.inbox)
    return f"{'' if is_upload else COPY}{os.path.basename(tarball)}"


def is_of(change: Change, tarball: str) -> bool:
    """Return whether a change began with this very tarball, and not with a newer one."""
    if change.action != journal.PUBLISH or change.source != source_of(tarball):
        return False
    if is_copy(change.upload):
        return file_state.state_of(tarball) == change.source_state
    return not os.path.lexists(tarball)


def source_of(tarball: str) -> str:
    """Return the path of a tarball, however it is named."""
    folder = os.path.realpath(os.path.dirname(tarball) or ".")
    return os.path.join(folder, os.path.basename(tarball))


def claim(spec: ReleaseSpec, tarball: str) -> str:
    """Move an upload, or copy a tarball from elsewhere, to the work directory.

    Returns its new path.
    """
    os.makedirs(spec.inbox, exist_ok=True)
    name = name_when_claimed(spec, tarball)
    claimed = f"{spec.work}/{CLAIMED}{name}"
    if is_copy(name):
        shutil.copyfile(tarball, claimed)
    else:
        os.rename(tarball, claimed)
        for ending in CHECKSUM_ENDINGS:
            # The next upload of that name brings its own checksum.
            paths.remove(tarball + ending)
    return claimed


def finish(spec: ReleaseSpec) -> None:
    """End the claim: its release serves, has failed, or its rollout has begun.

    The caller drops the journal when all else is done.
    """
    # The claimed upload goes first: a note without its upload means nothing.
    for beginning in (CLAIMED, PLACED):
        for name in paths.names_in(spec.work):
            if name.startswith(beginning):
                _remove_checksums(spec, f"{spec.work}/{name}")
                os.unlink(f"{spec.work}/{name}")


def _remove_checksums(spec: ReleaseSpec, claimed: str) -> None:
    """Remove the checksum files of an upload that were left when it was claimed.

    One that does not match belongs to the next upload of that name.
    """
    at = f"{spec.inbox}/{os.path.basename(claimed).removeprefix(CLAIMED)}"
    for ending in CHECKSUM_ENDINGS:
        if not os.path.isfile(at + ending) or os.path.lexists(at):
            continue
        if completeness.matches(claimed, at + ending):
            os.unlink(at + ending)


def put_back(claimed: str, tarball: str) -> None:
    """Undo `claim`, unless there is a newer upload of that name."""
    if not os.path.lexists(claimed):
        return  # it was not claimed yet
    if os.path.exists(tarball):
        os.unlink(claimed)
    else:
        os.rename(claimed, tarball)


def refuse(spec: ReleaseSpec, claimed: str, name: str, reason: str) -> None:
    """End the claim of an upload that became no release; the upload stays in refused/.

    A copy of a tarball from elsewhere is removed.
    """
    if is_copy(os.path.basename(claimed).removeprefix(CLAIMED)):
        os.unlink(claimed)
    else:
        refused.move_to_refused(spec, claimed, name, reason)


# --- what a publisher that died has left ----------------------------------------------


def unfinished_release(spec: ReleaseSpec) -> Release | None:
    """Return the release that a publisher placed and did not finish.

    The caller goes on with it, and calls `finish` then.
    """
    for upload, name in _placed(spec):
        if os.path.exists(f"{spec.work}/{CLAIMED}{upload}"):
            for release in current.releases(spec):
                if release.name == name:
                    return release
    return None


def _placed(spec: ReleaseSpec) -> list[tuple[str, str]]:
    """Return uploads with their releases: of the journal, and of earlier versions."""
    found = []
    change = journal.read(spec)
    if change is not None and change.action == journal.PUBLISH:
        found.append((change.upload, change.release))
    for name in paths.names_in(spec.work):
        if name.startswith(PLACED) and not name.endswith(files.PART):
            with contextlib.suppress(ValueError):  # its publisher was killed meanwhile
                placed = files.read_json(f"{spec.work}/{name}")
                found.append((name.removeprefix(PLACED), str(placed)))
    return found


def recover(spec: ReleaseSpec) -> bool:
    """Clean up after a publisher that died, unless another one is at work.

    Returns whether there is a change to go on with, which needs the supervisor or the
    fleet.
    """
    if not claimed_upload(spec) and journal.read(spec) is None:
        return False
    with publisher_lock.try_hold(spec) as is_held:
        if not is_held:
            return False
        change = journal.read(spec)
        if change is not None and current.is_visible(spec, change.release):
            return True
        if unfinished_release(spec) is not None:
            return True
        clean_up(spec)
    return False


def clean_up(spec: ReleaseSpec) -> None:
    """Remove what a publisher that died has left; put its claimed upload back.

    An upload that is a release already is removed: a newer publication has begun.
    """
    os.makedirs(spec.work, exist_ok=True)
    change = journal.read(spec)
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
    with publisher_lock.try_hold(spec, publisher_lock.SETTLING) as is_held:
        if is_held:
            current.discard_prepared(spec)
    if change is not None:
        if not current.is_visible(spec, change.release):
            paths.remove(spec.reports_of(change.release))
        reports.remove_parts(spec, change.release)
    if journal.read_settled(spec) is None:
        journal.drop(spec)


def _put_back_in_inbox(spec: ReleaseSpec, claimed: str, name: str) -> None:
    """Put a claimed upload back, unless there is a newer upload of that name."""
    if is_copy(name) or os.path.lexists(f"{spec.inbox}/{name}"):
        os.unlink(claimed)
    else:
        os.rename(claimed, f"{spec.inbox}/{name}")
