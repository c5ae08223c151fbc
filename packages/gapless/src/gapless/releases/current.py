"""The symlink that names the current release, and its atomic flip."""

from __future__ import annotations

import os
import time

from gapless.base import clock, files
from gapless.base.errors import NotFoundError, ReleaseError
from gapless.releases.model import (
    RELEASE_FILE,
    STAMP_FORMAT,
    Release,
    ReleaseSpec,
    stamp_of,
)

FAILURE_FILE = "failed.txt"


def releases(spec: ReleaseSpec) -> tuple[Release, ...]:
    """Return the releases of an app, oldest first."""
    current = current_path(spec)
    found = []
    names = os.listdir(spec.dist) if os.path.isdir(spec.dist) else []
    for name in sorted(names):
        stamp = stamp_of(spec.app, name)
        path = os.path.join(spec.dist, name)
        if stamp is None or not os.path.isfile(os.path.join(path, RELEASE_FILE)):
            continue
        found.append(
            Release(
                app=spec.app,
                stamp=stamp,
                path=path,
                is_current=path == current,
                failure=failure_of(spec, name),
            )
        )
    return tuple(found)


def current_path(spec: ReleaseSpec) -> str:
    """Return the directory that the symlink names, or nothing if there is none."""
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
            hint=f"`gapless releases {spec.app}` lists what is there",
        )
    return before


def flip(spec: ReleaseSpec, release: Release) -> None:
    """Point the symlink at *release*: a new link is renamed over it (rename(2)).

    Whoever looks sees the old or the new one.  RELEASE says when it became current: old
    scripts compare that with their last restart, and would never take a release that was
    made before it and turned to after it.  Raises ReleaseError if something that is no
    symlink has its name, as the article's second release leaves it.
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


def failure_of(spec: ReleaseSpec, name: str) -> str:
    """Return why a release failed, or nothing."""
    try:
        with open(f"{spec.reports}/{name}/{FAILURE_FILE}", encoding="utf-8") as file:
            return file.read().strip() or "it failed"
    except FileNotFoundError:
        return ""


def mark_failed(spec: ReleaseSpec, release: Release, reason: str) -> None:
    """Remember that a release failed, beside it: a release itself never changes."""
    folder = f"{spec.reports}/{release.name}"
    os.makedirs(folder, exist_ok=True)
    files.write_atomically(f"{folder}/{FAILURE_FILE}", reason.encode(), 0o644)
