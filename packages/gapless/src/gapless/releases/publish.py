"""Make a tarball a release, in steps that can all be repeated.

    claim    the upload moves to the work directory (from elsewhere, it is copied)
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
The flip is not among the steps: the caller flips when the release has proved itself.
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
)
from gapless.releases import paths
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
from gapless.releases.steps import build, hooks, shared, unpack


def make_release(spec: ReleaseSpec, tarball: str, *, progress: Progress) -> Release:
    """Make a release of *tarball*; it is then in `dist/`, and not current yet.

    The caller holds the publisher's lock, and calls `claims.finish` later.  *progress* may
    raise StoppedError before the hook: the upload is then put back.

    Raises NotFoundError, ReleaseError, OSError.  An upload that cannot become a release is
    moved to `src/refused/` with the reason beside it.
    """
    if not os.path.isfile(tarball):
        raise NotFoundError(f"{spec.app}: there is no tarball {tarball}")
    claims.clean_up(spec)
    claimed = claims.claim(spec, tarball)
    release = _new_release(spec)
    tree = f"{spec.work}/tree"
    try:
        progress("claimed", os.path.basename(tarball))
        _make(spec, release, claimed, tree, progress)
    except StoppedError:
        paths.remove(tree)
        claims.put_back(claimed, tarball)
        raise
    except OSError as error:
        paths.remove(tree)
        claims.put_back(claimed, tarball)
        raise ReleaseError(
            f"{spec.app}: could not make a release of {os.path.basename(tarball)}: "
            f"{(error.strerror or str(error)).lower()}",
            hint="the tarball is where it was; nothing else was left",
        ) from error
    except GaplessError as error:
        paths.remove(tree)
        claims.refuse(spec, claimed, os.path.basename(tarball), error.message)
        raise
    return release


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
    _seal(spec, release, tree, unpacked.digests)
    progress("sealed", release.stamp)
    claims.note_placed(spec, claimed, release)
    os.rename(tree, release.path)
    files.sync_directory(spec.dist)
    progress("placed", release.path)


def _seal(
    spec: ReleaseSpec, release: Release, tree: str, digests: dict[str, str]
) -> None:
    """Write RELEASE and the manifest, and make the whole tree durable."""
    report = f"{spec.reports}/{release.name}"
    os.makedirs(report, exist_ok=True)
    manifest = {"release": release.name, "sha256": digests}
    files.write_json(f"{report}/manifest.json", manifest, 0o644)
    # Not opened by its name, but renamed to it: the tarball may have a link called RELEASE.
    files.write_atomically(f"{tree}/{RELEASE_FILE}", f"{release.stamp}\n".encode())
    os.chmod(f"{tree}/{RELEASE_FILE}", 0o644)
    paths.sync_file_system(spec.dist)
