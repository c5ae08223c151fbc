"""Which releases an app has, the symlink that names the current one, and its flip."""

from __future__ import annotations

import contextlib
import os
import time

from gapless.base import clock, files
from gapless.base.errors import NotFoundError, ReleaseError
from gapless.base.names import ReleaseName
from gapless.releases import paths, reports
from gapless.releases.model import (
    RELEASE_FILE,
    STAMP_FORMAT,
    Release,
    ReleaseSpec,
    stamp_of,
)


def releases(spec: ReleaseSpec) -> tuple[Release, ...]:
    """Return the releases of an app, oldest first."""
    current = current_path(spec)
    found = []
    for name in sorted(paths.names_in(spec.dist)):
        stamp = stamp_of(spec.app, name)
        path = os.path.join(spec.dist, name)
        if stamp is None or not is_visible(spec, name):
            continue
        found.append(
            Release(
                app=spec.app,
                stamp=stamp,
                path=path,
                is_current=path == current,
                failure=reports.failure_of(spec, name),
                is_proven=reports.is_proven(spec, name),
            )
        )
    return tuple(found)


def current_path(spec: ReleaseSpec) -> str:
    """Return the directory that the symlink names; empty if there is no symlink."""
    if not os.path.islink(spec.link):
        return ""
    return os.path.normpath(os.path.join(spec.dist, os.readlink(spec.link)))


def current(spec: ReleaseSpec) -> Release | None:
    """Return the current release."""
    return next((r for r in releases(spec) if r.is_current), None)


def find(spec: ReleaseSpec, wanted: str) -> Release:
    """Return a release by its name or its timestamp.  Raises NotFoundError."""
    for release in releases(spec):
        if wanted in (release.name, release.stamp):
            return release
    raise NotFoundError(
        f"{spec.app} has no release {wanted}",
        hint=f"`gapless releases {spec.app}` lists them",
    )


def previous(spec: ReleaseSpec, serving: str = "") -> Release:
    """Return the newest good release before the one that serves.

    *serving* is its name; without it, it is the one that the link names.  Raises
    NotFoundError.
    """
    found = releases(spec)
    is_there = any(release.name == serving for release in found)
    before: Release | None = None
    for release in found:
        if release.name == serving if is_there else release.is_current:
            break
        if release.is_good:
            before = release
    if before is None:
        raise NotFoundError(
            f"{spec.app} has no release before the current one",
            hint=f"`gapless releases {spec.app}` lists its releases",
        )
    return before


def is_visible(spec: ReleaseSpec, name: str) -> bool:
    """Return whether this host sees a release.

    An NFS client may not see a new directory for a minute.  What has not the name of a
    release, or leads out of the directory of releases, is none.
    """
    try:
        path = spec.path_of(name)
    except ValueError:
        return False
    return os.path.isfile(f"{path}/{RELEASE_FILE}") and _is_in_dist(spec, path)


def _is_in_dist(spec: ReleaseSpec, path: str) -> bool:
    """Return whether the directory of a release lies below `dist`, also if it is a link."""
    top = os.path.realpath(spec.dist)
    return not os.path.islink(path) or os.path.realpath(path).startswith(f"{top}/")


def require_visible(spec: ReleaseSpec, name: str) -> Release:
    """Return a release by its name.  Raises NotFoundError if this host sees none."""
    release = release_of(spec, name)
    if not is_visible(spec, name):
        raise NotFoundError(
            f"{spec.app}: there is no release {name} in {spec.dist}",
            hint="is the shared directory mounted here?",
        )
    return release


def release_of(spec: ReleaseSpec, name: str) -> Release:
    """Return a release of an app by its name, seen here or not.

    Raises NotFoundError if an app cannot have a release of that name.
    """
    try:
        checked = ReleaseName.of(spec.app, name)
    except ValueError as error:
        raise NotFoundError(
            f"{spec.app}: {error}",
            hint=f"`gapless releases {spec.app}` lists its releases",
        ) from None
    return Release(app=spec.app, stamp=checked.stamp, path=spec.path_of(checked))


# --- the flip -------------------------------------------------------------------------

_LINK, _STAMP = "link", "stamp"
PREPARED = (_LINK, _STAMP)
"""Names in the work directory: the next link, and the next RELEASE."""


def prepare(spec: ReleaseSpec, release: Release) -> None:
    """Write all that a flip needs: a full disk is found before anything changes.

    Raises OSError, and ReleaseError if the link's name belongs to something that is no
    symlink, as after the article's second release.
    """
    if os.path.lexists(spec.link) and not os.path.islink(spec.link):
        raise ReleaseError(
            f"{spec.app}: {spec.link} is no symlink, so it cannot be flipped",
            hint="move it away; if it is a release of old scripts, give it a timestamp",
        )
    discard_prepared(spec)
    files.make_directories(spec.work, files.SHARED_DIRECTORY)
    os.symlink(release.path, f"{spec.work}/{_LINK}")
    if current_path(spec) != release.path:
        _write_stamp(spec, release)


def discard_prepared(spec: ReleaseSpec) -> None:
    """Remove what was written for a flip that does not come."""
    for name in PREPARED:
        paths.remove(f"{spec.work}/{name}")


def flip(spec: ReleaseSpec, release: Release) -> None:
    """Point the symlink at *release*: a new link is renamed over it (rename(2)).

    A reader sees the old or the new link.  RELEASE is written anew with the time of the
    flip: old scripts compare it with their last restart, and would otherwise miss a
    release that was made before that restart and became current after it.

    Raises OSError, ReleaseError; not for a full disk if `prepare` was called before.
    """
    link, stamp = (f"{spec.work}/{name}" for name in PREPARED)
    if not os.path.islink(link) or os.readlink(link) != release.path:
        prepare(spec, release)
    if current_path(spec) != release.path:
        with contextlib.suppress(OSError):  # the time of `prepare` is there at least
            _write_stamp(spec, release)
        os.replace(stamp, f"{release.path}/{RELEASE_FILE}")
    files.rename(link, spec.link)
    reports.mark_proven(spec, release.name)
    discard_prepared(spec)


def _write_stamp(spec: ReleaseSpec, release: Release) -> None:
    """Write the next RELEASE, over itself if it is there: that takes no space."""
    now = time.strftime(STAMP_FORMAT, time.localtime(clock.wall()))
    content = f"{max(now, release.stamp)}\n".encode()
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(f"{spec.work}/{_STAMP}", flags, files.SHARED_FILE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, files.SHARED_FILE)
        file.write(content)
        file.flush()
        files.sync(descriptor)
