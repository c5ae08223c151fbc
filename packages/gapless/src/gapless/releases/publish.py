"""Make a tarball a release, in steps that can all be repeated.

    intend   the journal names the upload and the release that it becomes
    claim    the upload moves to the work directory (from elsewhere, it is copied)
    verify   who signed it, if the app has `signers`; nothing has opened it before
    unpack   into the work directory, on the file system of the releases
    share    files and folders that outlive releases are linked in
    build    dependencies are installed
    hook     `before_flip`: migrations
    seal     RELEASE and the manifest are written, everything is synced
    place    the directory gets its name by one rename
    finish   the claimed upload is removed; the caller does this (`claims.finish`)

Until `place` nothing that other programs see has changed.  If the publisher dies before,
the next one puts the upload back, removes the rest, and begins again.  If it dies after,
the next one goes on with the release (`claims.unfinished_release`): it is not built twice.
The flip is not among the steps: the caller flips when the release has proved itself.  Until
then the release is not good to go back to (`reports.mark_unproven`).
"""

from __future__ import annotations

import os
import time

from gapless.base import clock, files
from gapless.base.errors import (
    GaplessError,
    NotFoundError,
    ReleaseError,
    StoppedError,
    UnavailableError,
)
from gapless.releases import current, file_state, manifest, paths, reports
from gapless.releases.digests import sha256_of
from gapless.releases.inbox import claims
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
from gapless.releases.steps import build, hooks, shared, unpack


def make_release(spec: ReleaseSpec, tarball: str, *, progress: Progress) -> Release:
    """Make a release of *tarball*; it is then in `dist/`, and not current yet.

    The caller holds the publisher's lock, and calls `claims.finish` and `journal.drop`
    later.  *progress* may raise StoppedError before the hook: the upload is then put back.

    Raises NotFoundError, ReleaseError, OSError.  An upload that cannot become a release is
    moved to `src/refused/` with the reason beside it.  UnavailableError: nothing can be
    verified or signed on this machine; the upload is where it was.
    """
    requirements.check_publisher(spec)
    claims.clean_up(spec)  # may put this very tarball back
    if not os.path.isfile(tarball):
        raise NotFoundError(
            f"{spec.app}: there is no tarball {tarball}",
            hint=_made_of_one_of_that_name(spec, tarball),
        )
    release = _new_release(spec)
    claimed = _intend(spec, release, tarball)
    tree = f"{spec.work}/tree"
    try:
        claims.claim(spec, tarball)
        progress("claimed", os.path.basename(tarball))
        _verify(spec, release, claimed, tarball, progress)
        _make(spec, release, claimed, tree, progress)
        os.rename(tree, release.path)
    except (StoppedError, UnavailableError):
        _undo(spec, tree, claimed, tarball)
        raise
    except OSError as error:
        _undo(spec, tree, claimed, tarball)
        raise ReleaseError(
            f"{spec.app}: could not make a release of {os.path.basename(tarball)}: "
            f"{(error.strerror or str(error)).lower()}",
            hint="the tarball is where it was; nothing else was left",
        ) from error
    except GaplessError as error:
        paths.remove(tree)
        claims.refuse(spec, claimed, os.path.basename(tarball), error.message)
        _remove_signature(claimed, tarball)
        journal.drop(spec)
        raise
    # From here on nothing is undone: whatever fails, the next publisher goes on.
    files.sync_directory(spec.dist)
    _remove_signature(claimed, tarball)
    progress("placed", release.path)
    return release


def _verify(
    spec: ReleaseSpec, release: Release, claimed: str, tarball: str, progress: Progress
) -> None:
    """Check who signed the claimed bytes, if the app has `signers`, and write that down."""
    if not spec.signers:
        return
    name, signature = os.path.basename(tarball), tarball + uploads.ENDING
    signed = uploads.check(spec, name, sha256_of(claimed), signature)
    records.write(spec, release.name, signed)
    progress("signed", f"by {signed.by}")


def _remove_signature(claimed: str, tarball: str) -> None:
    """Remove the signature of an upload that is done with, as its checksum is."""
    if not claims.is_copy(os.path.basename(claimed).removeprefix(claims.CLAIMED)):
        paths.remove(tarball + uploads.ENDING)


def _intend(spec: ReleaseSpec, release: Release, tarball: str) -> str:
    """Write down which release a tarball becomes; return the path of the claimed one."""
    upload = claims.name_when_claimed(spec, tarball)
    journal.write(
        spec,
        journal.Change(
            action=journal.PUBLISH,
            release=release.name,
            token=journal.new_token(),
            upload=upload,
            source=claims.source_of(tarball),
            source_state=file_state.state_of(tarball),
            began_at=clock.wall(),
        ),
    )
    return f"{spec.work}/{claims.CLAIMED}{upload}"


def _undo(spec: ReleaseSpec, tree: str, claimed: str, tarball: str) -> None:
    paths.remove(tree)
    claims.put_back(claimed, tarball)
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
    spec: ReleaseSpec, release: Release, claimed: str, tree: str, progress: Progress
) -> None:
    unpacked = unpack.unpack(claimed, tree, spec.limits)
    size_mb = unpacked.size_bytes / (1 << 20)
    progress("unpacked", f"{unpacked.files} files, {size_mb:.1f} MB")
    shared.link_shared(spec, tree)
    build.build(spec, release, tree, progress)
    if spec.hooks.before_flip:
        hooks.run(
            spec,
            release,
            "before_flip",
            spec.hooks.before_flip,
            directory=tree,
            variables={"GAPLESS_UPLOAD": sha256_of(claimed)},  # the same in every try
        )
        progress("hook", "before_flip")
    upload = os.path.basename(claimed).removeprefix(claims.CLAIMED)
    manifest.write(spec, release, unpacked.digests, upload.removeprefix(claims.COPY))
    _seal(spec, release, tree)
    progress("sealed", release.stamp)


def _seal(spec: ReleaseSpec, release: Release, tree: str) -> None:
    """Write RELEASE and that it is not proven yet, and make the whole tree durable."""
    reports.mark_unproven(spec, release.name)
    # Not opened by its name, but renamed to it: the tarball may have a link called RELEASE.
    files.write_atomically(f"{tree}/{RELEASE_FILE}", f"{release.stamp}\n".encode())
    os.chmod(f"{tree}/{RELEASE_FILE}", 0o644)
    paths.sync_file_system(spec.dist)
