"""Make a tarball a release, in steps that can all be repeated.

    intend   the journal names the upload and the release that it becomes
    claim    the tarball is copied to the work directory, and the copy is hashed
    admit    the copy is what its uploader wanted to upload
    verify   who signed it, if the app has `signers`; nothing has opened it before
    unpack   into the work directory, on the file system of the releases
    share    files and folders that outlive releases are linked in
    build    dependencies are installed
    hook     `before_flip`: migrations
    take     what a build has made is the publisher's, and nobody else may write it
    seal     RELEASE and the manifest are written, everything is synced
    place    the directory gets its name by one rename
    take     the upload leaves the inbox
    finish   the copy is removed; the caller does this (`claims.finish`)

Until `place` nothing that other programs see has changed, the upload in the inbox included.
If the publisher dies before, the next one removes the rest, and begins again.  If it dies
after, the next one goes on with the release (`claims.unfinished_release`): it is not built
twice.  The flip is not among the steps: the caller flips when the release has proved
itself.  Until then the release is not good to go back to (`reports.mark_unproven`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from gapless.base import clock, files
from gapless.base.errors import (
    ConflictError,
    GaplessError,
    NotFoundError,
    ReleaseError,
    StoppedError,
    UnavailableError,
)
from gapless.base.outside.text import counted, printable, sized
from gapless.releases import current, manifest, paths, reports
from gapless.releases.inbox import admission, claims, opened
from gapless.releases.inbox.admission import Copy
from gapless.releases.inbox.claims import Source
from gapless.releases.model import (
    RELEASE_FILE,
    STAMP_FORMAT,
    Progress,
    Release,
    ReleaseSpec,
    next_stamp,
    stamp_of,
)
from gapless.releases.publisher import journal
from gapless.releases.signing import records, requirements, uploads
from gapless.releases.steps import build, commands, hooks, ownership, shared, unpack

_OF_ITS_NAMES = frozenset(
    (
        *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY),
        *(errno.ELOOP, errno.ENAMETOOLONG),
    )
)
"""Errors that the names in an upload have caused: they come again, whenever it is tried."""


def make_release(spec: ReleaseSpec, tarball: str, *, progress: Progress) -> Release:
    """Make a release of *tarball*; it is then in `dist/`, and not current yet.

    The caller holds the publisher's lock, and calls `claims.finish` and `journal.drop`
    later.  *progress* may raise StoppedError before the hook: nothing is left then.

    Raises MisuseError, NotFoundError, ReleaseError, OSError, and IncompleteError.  The copy
    of an upload that cannot become a release stays in `refused/APP/` with the reason beside
    it; what is no regular file, or too large, stays in the inbox.  UnavailableError:
    nothing can be verified or signed on this machine now; the upload is where it was.
    """
    commands.user_of(spec)  # raises before anything is touched
    requirements.check_publisher(spec)
    claims.clean_up(spec)
    if not os.path.lexists(tarball):
        raise NotFoundError(
            f"{spec.app}: there is no tarball {printable(tarball)}",
            hint=_made_of_one_of_that_name(spec, tarball),
        )
    with claims.open_source(spec, tarball) as source:
        return _make_release(spec, source, progress)


def _make_release(spec: ReleaseSpec, source: Source, progress: Progress) -> Release:
    release = _new_release(spec)
    _intend(spec, release, source)
    tree, copy = f"{spec.work}/tree", None
    try:
        copy = claims.claim(spec, source)
        progress("claimed", copy.name)
        admission.admit(spec, copy)
        _verify(spec, release, copy, source, progress)
        _make(spec, release, copy, tree, progress)
        os.rename(tree, release.path)
    except (StoppedError, ConflictError, UnavailableError):
        _undo(spec, tree, source)
        raise
    except OSError as error:
        failed = ReleaseError(
            f"{spec.app}: could not make a release of {printable(source.name)}: "
            f"{_place(error, tree)}{(error.strerror or str(error)).lower()}",
            hint="the tarball is where it was; nothing else was left",
        )
        if copy is None or error.errno not in _OF_ITS_NAMES:
            _undo(spec, tree, source)
            raise failed from error
        failed.hint = "its names do not fit what gapless makes beside them"
        _refuse(spec, tree, source, copy, failed)
        raise failed from error
    except GaplessError as error:
        assert copy is not None
        _refuse(spec, tree, source, copy, error)
        raise
    except Exception:
        # A fault of gapless.  The upload is where it was: its publisher gives it up.
        _undo(spec, tree, source)
        raise
    # From here on nothing is undone: whatever fails, the next publisher goes on.
    files.sync_directory(spec.dist)
    reports.keep_rehearsal(spec, release.name, copy.sha256)
    claims.take_out(spec, source, copy)
    _remove_signature(source)
    progress("placed", release.path)
    return release


def _verify(
    spec: ReleaseSpec, release: Release, copy: Copy, source: Source, progress: Progress
) -> None:
    """Check who signed the copied bytes, if the app has `signers`, and write that down."""
    if not spec.signers:
        return
    signature = source.path + uploads.ENDING
    signed = uploads.check(spec, copy.name, copy.sha256, signature)
    records.write(spec, release.name, signed)
    progress("signed", f"by {signed.by}")


def _remove_signature(source: Source) -> None:
    """Remove the signature of an upload that is done with; that of a newer one stays."""
    folder, name = os.path.split(source.path)
    if source.is_upload and not os.path.lexists(source.path):
        with contextlib.suppress(OSError), opened.directory(folder) as held:
            os.unlink(name + uploads.ENDING, dir_fd=held)


def _intend(spec: ReleaseSpec, release: Release, source: Source) -> None:
    """Write down which release a tarball becomes."""
    journal.write(
        spec,
        journal.Change(
            action=journal.PUBLISH,
            release=release.name,
            token=journal.new_token(),
            upload=source.name if source.is_upload else "",
            copy=source.copy,
            source=source.path,
            source_state=source.state,
            began_at=clock.wall(),
        ),
    )


def _refuse(
    spec: ReleaseSpec, tree: str, source: Source, copy: Copy, error: GaplessError
) -> None:
    paths.remove(tree)
    claims.refuse(spec, source, copy, error.message)
    _remove_signature(source)
    journal.drop(spec)


def _place(error: OSError, tree: str) -> str:
    """Return where in a tree an error was, for people, or nothing."""
    path = str(error.filename2 or error.filename or "")
    return f"{printable(path[len(tree) + 1 :])}: " * path.startswith(f"{tree}/")


def _undo(spec: ReleaseSpec, tree: str, source: Source) -> None:
    paths.remove(tree)
    claims.drop(spec, source)
    journal.drop(spec)


def _made_of_one_of_that_name(spec: ReleaseSpec, tarball: str) -> str:
    """Return that the current release was made of a tarball of that name, or nothing."""
    release = current.current(spec)
    if release is None:
        return ""
    name = os.path.basename(tarball)
    made_of = manifest.upload_of(spec, release.name)
    return f"{release.name}, the current release, was made of a {name}" * (
        made_of == name
    )


def _new_release(spec: ReleaseSpec) -> Release:
    """Return a release with the next timestamp; nothing of it is written yet."""
    taken = tuple(
        stamp
        for name in [*os.listdir(spec.dist), *paths.names_in(spec.reports)]
        if (stamp := stamp_of(spec.app, name))
    )
    now = time.strftime(STAMP_FORMAT, time.localtime(clock.wall()))
    stamp = next_stamp(now, taken)
    return Release(app=spec.app, stamp=stamp, path=spec.directory(stamp))


def _make(
    spec: ReleaseSpec, release: Release, copy: Copy, tree: str, progress: Progress
) -> None:
    unpacked = unpack.unpack(copy.path, tree, spec.limits, name=copy.name)
    progress(
        "unpacked", f"{counted(unpacked.files, 'file')}, {sized(unpacked.size_bytes)}"
    )
    shared.link_shared(spec, tree)
    is_run = bool(build.commands_of(spec, tree) or spec.hooks.before_flip)
    owner = ownership.give(spec, tree) if is_run else ownership.UNCHANGED
    build.build(spec, release, tree, progress)
    if spec.hooks.before_flip:
        hooks.run(
            spec,
            release,
            "before_flip",
            spec.hooks.before_flip,
            directory=tree,
            variables={"GAPLESS_UPLOAD": copy.sha256},  # the same in every try
        )
        progress("hook", "before_flip")
    if is_run:
        ownership.take_back(spec, tree, owner)
    manifest.write(spec, release, unpacked.digests, copy.name)
    _seal(spec, release, tree)
    progress("sealed", release.stamp)


def _seal(spec: ReleaseSpec, release: Release, tree: str) -> None:
    """Write RELEASE and that it is not proven yet, and make the whole tree durable."""
    reports.mark_unproven(spec, release.name)
    # Not opened by its name, but renamed to it: the tarball may have a link called RELEASE.
    stamp_line = f"{release.stamp}\n".encode()
    files.write_atomically(f"{tree}/{RELEASE_FILE}", stamp_line, files.SHARED_FILE)
    files.sync_file_system(spec.dist)
