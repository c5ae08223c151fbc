"""Make a tarball a release, in steps that can all be repeated.

    claim    the tarball is moved into the work directory (or copied, from elsewhere)
    unpack   beside, into the work directory, on the same file system
    share    files and folders that outlive releases are linked in
    build    dependencies are installed
    hook     `before_flip`: migrations
    seal     RELEASE and the manifest are written, everything is synced
    place    the directory gets its name by one rename
    finish   the claimed tarball is removed: whoever called has brought the release on

Until `place` nothing that others look at has changed; whoever dies before leaves
work that the next run removes, and the tarball it had claimed, which the next run takes
up again.  Who dies after it leaves a release that `placed` finds: it is not built twice.
The flip is not among the steps: it belongs to whoever has seen it serve.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import time
from dataclasses import replace

from gapless.base import clock, files
from gapless.base.errors import (
    GaplessError,
    NotFoundError,
    ReleaseError,
    StoppedError,
)
from gapless.releases import build, claims, copies, current, prune, unpack
from gapless.releases.claims import Progress
from gapless.releases.model import (
    RELEASE_FILE,
    STAMP_FORMAT,
    Release,
    ReleaseSpec,
    next_stamp,
    stamp_of,
)


def prepare(spec: ReleaseSpec, tarball: str, *, progress: Progress) -> Release:
    """Make a release of *tarball*; it is then in `dist/`, and not current yet.

    Call it with the lock held, and `finish` when the release was brought on.  *progress*
    may raise StoppedError before the hook: all is then as it was.

    Raises NotFoundError, ReleaseError, OSError.  A tarball from the inbox that cannot
    become a release is moved to `src/refused/` with the reason beside it.
    """
    if not os.path.isfile(tarball):
        raise NotFoundError(f"{spec.app}: there is no tarball {tarball}")
    claims.clean_up(spec)
    claimed = claims.claim(spec, tarball)
    taken = tuple(
        stamp
        for name in [*os.listdir(spec.dist), *claims.listed(spec.reports)]
        if (stamp := stamp_of(spec.app, name))
    )
    now = time.strftime(STAMP_FORMAT, time.localtime(clock.wall()))
    stamp = next_stamp(now, taken)
    release = Release(app=spec.app, stamp=stamp, path=spec.directory(stamp))
    tree = f"{spec.work}/tree"
    try:
        progress("claimed", os.path.basename(tarball))
        _make(spec, release, claimed, tree, progress)
    except StoppedError:
        claims.remove(tree)
        claims.give_back(claimed, tarball)
        raise
    except OSError as error:
        claims.remove(tree)
        claims.give_back(claimed, tarball)
        raise ReleaseError(
            f"{spec.app}: could not make a release of {os.path.basename(tarball)}: "
            f"{(error.strerror or str(error)).lower()}",
            hint="the tarball is where it was; nothing else was left",
        ) from error
    except GaplessError as error:
        claims.remove(tree)
        claims.set_aside(spec, claimed, os.path.basename(tarball), error.message)
        raise
    return release


def _make(
    spec: ReleaseSpec, release: Release, claimed: str, tree: str, progress: Progress
) -> None:
    report = f"{spec.reports}/{release.name}"
    unpacked = unpack.unpack(claimed, tree, spec.limits)
    size_mb = unpacked.size_bytes / (1 << 20)
    progress("unpacked", f"{unpacked.files} files, {size_mb:.1f} MB")
    _share(spec, tree)
    commands = build.default_build(tree) if spec.build is None else spec.build
    for command in commands:
        progress("building", " ".join(command))
        build.run(
            spec,
            command,
            tree,
            what="the build",
            timeout_s=spec.build_timeout_s,
            log=f"{report}/build.log",
        )
    progress("built", f"{len(commands)} commands")
    if spec.hooks.before_flip:
        told = {"GAPLESS_UPLOAD": _sha256(claimed)}  # the same in every try
        run_hook(
            spec,
            release,
            "before_flip",
            spec.hooks.before_flip,
            directory=tree,
            told=told,
        )
        progress("hook", "before_flip")
    os.makedirs(report, exist_ok=True)
    manifest = {"release": release.name, "sha256": unpacked.digests}
    files.write_json(f"{report}/manifest.json", manifest, 0o644)
    # Renamed to its name: a link that is called so leads elsewhere.
    files.write_atomically(f"{tree}/{RELEASE_FILE}", f"{release.stamp}\n".encode())
    os.chmod(f"{tree}/{RELEASE_FILE}", 0o644)
    _sync_file_system(spec.dist)
    progress("sealed", release.stamp)
    name = os.path.basename(claimed).removeprefix(claims.CLAIMED)
    files.write_json(f"{spec.work}/{claims.PLACED}{name}", release.name, 0o644)
    os.rename(tree, release.path)
    files.sync_directory(spec.dist)
    progress("placed", release.path)


def run_hook(
    spec: ReleaseSpec,
    release: Release,
    name: str,
    command: tuple[str, ...],
    *,
    directory: str,
    told: dict[str, str],
) -> None:
    """Run a hook of a release, in its directory; its environment says of what.

    Raises ReleaseError.
    """
    told = {"GAPLESS_APP": spec.app, "GAPLESS_RELEASE": release.name, **told}
    spec = replace(spec, environment=(spec.environment or dict(os.environ)) | told)
    log = f"{spec.reports}/{release.name}/{name}.log"
    build.run(
        spec,
        command,
        directory,
        what=f"the hook {name}",
        timeout_s=spec.hooks.timeout_s,
        log=log,
    )


def _share(spec: ReleaseSpec, tree: str) -> None:
    """Link files and folders that outlive releases into the tree."""
    for relative in spec.shared:
        lasting = f"{spec.base}/shared/{spec.app}/{relative}"
        inside = f"{tree}/{relative}"
        os.makedirs(os.path.dirname(lasting), exist_ok=True)
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        if os.path.lexists(inside):
            if not os.path.lexists(lasting):
                os.rename(inside, lasting)  # the first release brings what is shared
            else:
                claims.remove(inside)
        elif not os.path.lexists(lasting) and "." not in os.path.basename(relative):
            os.mkdir(lasting)
        os.symlink(lasting, inside)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_file_system(path: str) -> None:
    """Make everything on the file system of *path* durable at once (syncfs(2)).

    One call for ten thousand files takes less than ten thousand calls.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def remove_superfluous(
    spec: ReleaseSpec, running: frozenset[str]
) -> tuple[Release, ...]:
    """Take away releases that nobody needs; return them.

    What cannot be removed now (NFS keeps what somebody has open) is removed after a later
    change.
    """
    gone = prune.superfluous(current.releases(spec), keep=spec.keep, running=running)
    for release in gone:
        # Renamed first: half a release never has a release's name.
        doomed = f"{spec.work}/{claims.REMOVED}{release.name}"
        os.rename(release.path, doomed)
        # What was told of it stays; this may be as long as all its dependencies.
        claims.remove(f"{spec.reports}/{release.name}/{copies.LISTING}")
    for name in claims.listed(spec.work):
        if name.startswith(claims.REMOVED):  # also by one that died while it did
            shutil.rmtree(f"{spec.work}/{name}", ignore_errors=True)
    return gone


def write_report(
    spec: ReleaseSpec, release: Release, host: str, report: dict[str, object]
) -> str:
    """Keep the report of a release beside it; return its path.

    The newest is `HOST.json`; one that was there (a rollback comes back to a release)
    is kept as `HOST.1.json`, `HOST.2.json`..., oldest first.
    """
    folder = f"{spec.reports}/{release.name}"
    path = f"{folder}/{host}.json"
    os.makedirs(folder, exist_ok=True)
    number = 1
    while os.path.exists(path):
        try:
            os.link(path, f"{folder}/{host}.{number}.json")
            break
        except FileExistsError:
            number += 1
    files.write_json(path, report, 0o644)
    return path
