"""Which releases an app has, the symlink that names the current one, and its flip."""

from __future__ import annotations

import os
import time

from gapless.base import clock, files
from gapless.base.errors import NotFoundError, ReleaseError
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


def previous(spec: ReleaseSpec) -> Release:
    """Return the newest good release before the current one.  Raises NotFoundError."""
    before: Release | None = None
    for release in releases(spec):
        if release.is_current:
            break
        if not release.failure:
            before = release
    if before is None:
        raise NotFoundError(
            f"{spec.app} has no release before the current one",
            hint=f"`gapless releases {spec.app}` lists its releases",
        )
    return before


def is_visible(spec: ReleaseSpec, name: str) -> bool:
    """Return whether this host sees a release.

    An NFS client may not see a new directory for a minute.
    """
    return os.path.isfile(f"{spec.dist}/{name}/{RELEASE_FILE}")


def require_visible(spec: ReleaseSpec, name: str) -> Release:
    """Return a release by its name.  Raises NotFoundError if this host sees none."""
    if not is_visible(spec, name):
        raise NotFoundError(
            f"{spec.app}: there is no release {name} in {spec.dist}",
            hint="is the shared directory mounted here?",
        )
    stamp = name.removeprefix(f"{spec.app}-")
    return Release(app=spec.app, stamp=stamp, path=f"{spec.dist}/{name}")


def flip(spec: ReleaseSpec, release: Release) -> None:
    """Point the symlink at *release*: a new link is renamed over it (rename(2)).

    A reader sees the old or the new link.  RELEASE is written anew with the time of the
    flip: old scripts compare it with their last restart, and would otherwise miss a
    release that was made before that restart and became current after it.

    Raises ReleaseError if the link's name belongs to something that is no symlink, as
    after the article's second release.
    """
    if os.path.lexists(spec.link) and not os.path.islink(spec.link):
        raise ReleaseError(
            f"{spec.app}: {spec.link} is no symlink, so it cannot be flipped",
            hint="move it away; if it is a release of old scripts, give it a timestamp",
        )
    if current_path(spec) != release.path:
        now = time.strftime(STAMP_FORMAT, time.localtime(clock.wall()))
        content = f"{max(now, release.stamp)}\n".encode()
        files.write_atomically(f"{release.path}/{RELEASE_FILE}", content, 0o644)
    beside = f"{spec.work}/link"
    os.makedirs(spec.work, exist_ok=True)
    if os.path.lexists(beside):
        os.unlink(beside)
    os.symlink(release.path, beside)
    os.replace(beside, spec.link)
    files.sync_directory(spec.dist)
