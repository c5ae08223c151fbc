"""Copies of tarballs that are being published, and what a publisher that died has left.

An upload stays in the inbox, where its uploader may write to it, until its release has its
place or it was refused.  What is published is a copy in the work directory, `upload/NAME`,
or `copy/NAME` of a tarball from elsewhere.  So a publisher that dies loses no upload:
nothing is put back, since nothing was taken.  Which release the copy becomes stands in the
journal, and by the state of the upload there the next publisher knows it from a newer one.
`finish` removes both.  All functions but `claimed_upload` and `recover` need the
publisher's lock.

Earlier versions moved the upload to `claimed-NAME` (`claimed-copy-NAME` from elsewhere),
and wrote the release to `placed-NAME`: those are still read, and put back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gapless.base import files, set_aside
from gapless.base.outside.text import printable
from gapless.releases import current, file_state, paths, publisher_lock, reports
from gapless.releases.digests import sha256_of
from gapless.releases.file_state import FileState
from gapless.releases.inbox import checksums, opened, refused, taken, uploads
from gapless.releases.inbox.admission import Copy
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.publisher import journal, unseen
from gapless.releases.publisher.journal import Change

UPLOAD, COPY = "upload", "copy"
"""Directories in the work directory: no name of an upload is taken for another's."""
REMOVED = "removed-"
"""How names in the work directory begin."""
OLD_CLAIMED, OLD_COPY, OLD_PLACED = "claimed-", "copy-", "placed-"
"""The same, of earlier versions."""
_PART = "part-of-a-copy"
_PERMANENT = (
    publisher_lock.PUBLISHING,
    publisher_lock.SETTLING,
    *current.PREPARED,
    journal.FILE,
    journal.RESERVE,
    unseen.FILE,
)
"""Names in the work directory that `clean_up` does not take for remains of a publish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An open tarball that is to be published."""

    descriptor: int
    path: str
    is_upload: bool
    """It lies in the inbox."""
    state: FileState
    mode: int

    @property
    def name(self) -> str:
        """Its name, which may be any if it is no upload."""
        return os.path.basename(self.path)

    @property
    def copy(self) -> str:
        """The path of its copy in the work directory."""
        return f"{UPLOAD if self.is_upload else COPY}/{self.name}"


def claimed_upload(spec: ReleaseSpec) -> str:
    """Return the name of the upload that is being published; empty if none is."""
    for name in paths.names_in(f"{spec.work}/{UPLOAD}"):
        return name
    for name in paths.names_in(spec.work):
        old = name.removeprefix(OLD_CLAIMED)
        if old != name and not _is_old_copy(spec, old):
            return old
    return ""


def upload_of(spec: ReleaseSpec, change: Change) -> str:
    """Return the upload that a change began with; empty if it came from elsewhere."""
    is_old = not change.copy
    return "" if is_old and _is_old_copy(spec, change.upload) else change.upload


def _is_old_copy(spec: ReleaseSpec, name: str) -> bool:
    """Return whether an earlier version claimed a tarball from elsewhere by this name.

    An app may itself be called `copy`: what may be an upload is one.
    """
    return name.startswith(OLD_COPY) and not uploads.owner((spec.app,), name)


def is_of(spec: ReleaseSpec, change: Change, tarball: str) -> bool:
    """Return whether a change began with this very tarball, and not with a newer one."""
    if change.action != journal.PUBLISH or change.source != source_of(tarball):
        return False
    if not upload_of(spec, change):
        return file_state.state_of(tarball, follows=True) == change.source_state
    return file_state.state_of(tarball) in (None, change.source_state)


def source_of(tarball: str) -> str:
    """Return the path of a tarball, however it is named."""
    folder = os.path.realpath(os.path.dirname(tarball) or ".")
    return os.path.join(folder, os.path.basename(tarball))


def is_upload(spec: ReleaseSpec, tarball: str) -> bool:
    """Return whether a tarball lies in the inbox."""
    folder = os.path.dirname(source_of(tarball))
    return folder == os.path.realpath(spec.inbox)


# --- the way of a copy ----------------------------------------------------------------


@contextmanager
def open_source(spec: ReleaseSpec, tarball: str) -> Iterator[Source]:
    """Open the tarball that is to be published: all that follows is done to this one.

    Raises NotFoundError, ReleaseError if it can be none, IncompleteError if it cannot be
    opened now.
    """
    path, in_inbox = source_of(tarball), is_upload(spec, tarball)
    if in_inbox and not uploads.is_plain(os.path.basename(path)):
        raise opened.refusal(path, "has a name that is too long, or cannot be shown")
    how = opened.upload if in_inbox else opened.tarball
    with contextlib.ExitStack() as stack:
        try:
            most_bytes = spec.limits.max_upload_bytes
            descriptor = stack.enter_context(how(path, most_bytes))
            if in_inbox:
                taken.check(spec, descriptor)
        except OSError as error:
            raise opened.unreadable(path, error) from error
        found = os.fstat(descriptor)
        yield Source(
            descriptor=descriptor,
            path=path,
            is_upload=in_inbox,
            state=file_state.of(found),
            mode=found.st_mode,
        )


def claim(spec: ReleaseSpec, source: Source) -> Copy:
    """Copy a tarball to the work directory, and hash the copy.

    Raises OSError, and IncompleteError if it changes meanwhile.
    """
    expected = None
    if source.is_upload:
        try:
            expected = checksums.expected(source.path)
        except OSError as error:
            raise opened.IncompleteError(
                f"{source.name} is not taken: its checksum file cannot be read: "
                f"{(error.strerror or str(error)).lower()}"
            ) from error
    part, path = f"{spec.work}/{_PART}", f"{spec.work}/{source.copy}"
    digest = hashlib.sha256()
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(part, how, 0o640), "wb") as target:
        for piece in opened.pieces(source.descriptor):
            digest.update(piece)
            target.write(piece)
        if source.mode & 0o004:  # who might read it may read it if it is refused
            os.fchmod(target.fileno(), 0o644)
    paths.make_own(os.path.dirname(path))
    os.rename(part, path)
    return Copy(
        path=path,
        sha256=digest.hexdigest(),
        name=printable(source.name),
        checksum=expected,
    )


def drop(spec: ReleaseSpec, source: Source) -> None:
    """Remove the copy of a tarball, which stays where it is."""
    for name in (_PART, os.path.dirname(source.copy)):
        paths.remove(f"{spec.work}/{name}")


def take_out(spec: ReleaseSpec, source: Source, copy: Copy) -> None:
    """Take the upload out of the inbox: its release has its place, or it was refused.

    If that fails now, it is done by `finish`, or it is an upload that is tried again.
    """
    if source.is_upload:
        with contextlib.suppress(OSError):
            taken.take_out(spec, source.name, source.state, copy.sha256)


def refuse(spec: ReleaseSpec, source: Source, copy: Copy, reason: str) -> None:
    """End an upload that became no release: its copy stays in refused/, with the reason.

    If it cannot be kept there, the upload stays in the inbox.
    """
    if source.is_upload:
        with contextlib.suppress(OSError):
            refused.move_to_refused(spec, copy.path, source.name, reason)
            take_out(spec, source, copy)
    drop(spec, source)


def finish(spec: ReleaseSpec) -> None:
    """Forget what was published: its release serves, has failed, or rolls out.

    The caller drops the journal when all else is done.
    """
    change = journal.read(spec)
    if change is not None and change.action == journal.PUBLISH:
        _take_out_again(spec, change)
    # The copy goes first: a note without its copy means nothing.
    names = sorted(
        paths.names_in(spec.work), key=lambda name: name.startswith(OLD_PLACED)
    )
    for name in names:
        if name in (UPLOAD, COPY) or name.startswith((OLD_CLAIMED, OLD_PLACED)):
            paths.remove(f"{spec.work}/{name}")


def _take_out_again(spec: ReleaseSpec, change: Change) -> None:
    """Take out the upload of a change whose publisher died before it had done that."""
    copy = f"{spec.work}/{change.copy}"
    if not change.copy or not change.upload or change.source_state is None:
        return
    if not os.path.lexists(copy) or not uploads.is_plain(change.upload):
        return
    if not taken.is_left(spec, change.upload, change.source_state):
        return
    with contextlib.suppress(OSError):
        taken.take_out(spec, change.upload, change.source_state, sha256_of(copy))


# --- what a publisher that died has left ----------------------------------------------


def unfinished_release(spec: ReleaseSpec) -> Release | None:
    """Return the release that a publisher placed and did not finish.

    The caller goes on with it, and calls `finish` then.
    """
    for copy, name in _placed(spec):
        if os.path.exists(f"{spec.work}/{copy}"):
            for release in current.releases(spec):
                if release.name == name:
                    return release
    return None


def _placed(spec: ReleaseSpec) -> list[tuple[str, str]]:
    """Return copies with their releases: of the journal, and of earlier versions."""
    found = []
    change = journal.read(spec)
    if change is not None and change.action == journal.PUBLISH:
        copy = change.copy or f"{OLD_CLAIMED}{change.upload}"
        found.append((copy, change.release))
    for name in paths.names_in(spec.work):
        if name.startswith(OLD_PLACED) and not name.endswith(files.PART):
            # Its publisher was killed meanwhile, or it is something else.
            with contextlib.suppress(ValueError, OSError):
                placed = files.read_json(f"{spec.work}/{name}")
                copy = f"{OLD_CLAIMED}{name.removeprefix(OLD_PLACED)}"
                found.append((copy, str(placed)))
    return found


def is_under_way(spec: ReleaseSpec, tarball: str) -> bool:
    """Return whether another publisher is at work on this very upload."""
    change = journal.read(spec)
    if change is None or not is_of(spec, change, tarball):
        return False
    return publisher_lock.is_busy(spec)


def recover(spec: ReleaseSpec) -> bool:
    """Clean up after a publisher that died, unless another one is at work.

    Returns whether there is a change to go on with, which needs the supervisor or the
    fleet.
    """
    if not _has_remains(spec) and journal.read(spec) is None:
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


def _has_remains(spec: ReleaseSpec) -> bool:
    return any(
        name in (UPLOAD, COPY) or name.startswith((OLD_CLAIMED, taken.TAKEN))
        for name in paths.names_in(spec.work)
    )


def clean_up(spec: ReleaseSpec) -> None:
    """Remove what a publisher that died has left; its upload is in the inbox.

    An upload that is a release already is removed: a newer publication has begun.
    """
    paths.make_own(spec.work)
    change = journal.read(spec)
    if unfinished_release(spec) is not None:
        finish(spec)
    for name in os.listdir(spec.work):
        path = f"{spec.work}/{name}"
        is_kept = name in _PERMANENT or set_aside.is_set_aside(name)
        if is_kept or name.startswith(REMOVED):
            continue
        if name.startswith(taken.TAKEN):
            state = change.source_state if change else None
            taken.settle(spec, name.removeprefix(taken.TAKEN), state)
        elif name.startswith(OLD_CLAIMED):
            _put_back_in_inbox(spec, name)
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


def _put_back_in_inbox(spec: ReleaseSpec, claimed: str) -> None:
    """Put back what an earlier version claimed, unless there is a newer upload."""
    name = claimed.removeprefix(OLD_CLAIMED)
    if not _is_old_copy(spec, name):
        taken.give_back(spec, claimed, name)
    paths.remove(f"{spec.work}/{claimed}")
