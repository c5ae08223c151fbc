"""Make a tarball a release, in steps that can all be repeated.

    claim    the tarball is moved into the work directory (or copied, from elsewhere)
    unpack   beside, into the work directory, on the same file system
    share    files and folders that outlive releases are linked in
    build    dependencies are installed
    hook     `before_flip`: migrations
    seal     RELEASE and the manifest are written, everything is synced
    place    the directory gets its name by one rename

Until the last step nothing that others look at has changed; whoever dies before leaves
work that the next run removes, and the tarball it had claimed, which the next run takes
up again.  The flip is not among the steps: it belongs to whoever has seen it serve.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gapless.base import clock, files
from gapless.base.errors import GaplessError, NotFoundError, ReleaseError
from gapless.releases import build, current, prune, unpack
from gapless.releases.model import Release, ReleaseSpec, next_stamp, stamp_of

Progress = Callable[[str, str], None]


def prepare(spec: ReleaseSpec, tarball: str, *, progress: Progress) -> Release:
    """Make a release of *tarball*; it is then in `dist/`, and not current yet.

    Raises NotFoundError, ReleaseError, OSError.  A tarball from the inbox that cannot
    become a release is moved to `src/refused/` with the reason beside it.
    """
    if not os.path.isfile(tarball):
        raise NotFoundError(f"{spec.app}: there is no tarball {tarball}")
    clean_up(spec)
    claimed = _claim(spec, tarball)
    progress("claimed", os.path.basename(tarball))
    taken = tuple(
        stamp
        for name in [*os.listdir(spec.dist), *_listed(spec.reports)]
        if (stamp := stamp_of(spec.app, name))
    )
    now = time.strftime("%Y%m%d%H%M%S", time.localtime(clock.wall()))
    stamp = next_stamp(now, taken)
    release = Release(app=spec.app, stamp=stamp, path=spec.directory(stamp))
    tree = f"{spec.work}/tree"
    try:
        _make(spec, release, claimed, tree, progress)
    except OSError as error:
        _remove(tree)
        _give_back(claimed, tarball)
        raise ReleaseError(
            f"{spec.app}: could not make a release of {os.path.basename(tarball)}: "
            f"{(error.strerror or str(error)).lower()}",
            hint="the tarball is where it was; nothing else was left",
        ) from error
    except GaplessError as error:
        _remove(tree)
        _set_aside(spec, claimed, os.path.basename(tarball), error.message)
        raise
    os.unlink(claimed)
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
        run_hook(spec, release, "before_flip", spec.hooks.before_flip, tree)
        progress("hook", "before_flip")
    os.makedirs(report, exist_ok=True)
    manifest = {"release": release.name, "sha256": unpacked.digests}
    files.write_json(f"{report}/manifest.json", manifest, 0o644)
    with open(f"{tree}/RELEASE", "w", encoding="ascii") as file:
        file.write(f"{release.stamp}\n")
    os.chmod(f"{tree}/RELEASE", 0o644)
    _sync_file_system(spec.dist)
    progress("sealed", release.stamp)
    os.rename(tree, release.path)
    files.sync_directory(spec.dist)
    progress("placed", release.path)


def run_hook(
    spec: ReleaseSpec,
    release: Release,
    name: str,
    command: tuple[str, ...],
    directory: str,
) -> None:
    """Run a hook of a release, in its directory.  Raises ReleaseError."""
    log = f"{spec.reports}/{release.name}/{name}.log"
    build.run(
        spec,
        command,
        directory,
        what=f"the hook {name}",
        timeout_s=spec.hooks.timeout_s,
        log=log,
    )


@contextmanager
def lock(spec: ReleaseSpec, progress: Progress) -> Iterator[None]:
    """Let one publisher of an app at a time go on; the second waits, and says so.

    flock(2) also holds between clients of one NFS server since Linux 2.6.12.
    """
    os.makedirs(spec.work, exist_ok=True)
    os.makedirs(spec.inbox, exist_ok=True)
    with open(f"{spec.work}/lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another publisher"
            progress("waiting", f"{holder} publishes {spec.app}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield


def recover(spec: ReleaseSpec) -> None:
    """Take up what a publisher that died had claimed, unless one is at work."""
    if not any(name.startswith("claimed-") for name in _listed(spec.work)):
        return
    with open(f"{spec.work}/lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        clean_up(spec)


def clean_up(spec: ReleaseSpec) -> None:
    """Remove what a publisher left that died; its claimed tarball goes back.

    Call it with the lock held.
    """
    os.makedirs(spec.work, exist_ok=True)
    for name in os.listdir(spec.work):
        path = f"{spec.work}/{name}"
        if name == "lock":
            continue
        if name.startswith("claimed-"):
            _take_back(spec, path, name.removeprefix("claimed-"))
        elif name != "lock":
            _remove(path)


def _take_back(spec: ReleaseSpec, path: str, name: str) -> None:
    """Put a claimed tarball back into the inbox, unless a newer upload is there."""
    if name.startswith("copy-") or os.path.lexists(f"{spec.inbox}/{name}"):
        os.unlink(path)
    else:
        os.rename(path, f"{spec.inbox}/{name}")


def _claim(spec: ReleaseSpec, tarball: str) -> str:
    name = os.path.basename(tarball)
    os.makedirs(spec.inbox, exist_ok=True)
    if os.path.realpath(os.path.dirname(tarball) or ".") == os.path.realpath(
        spec.inbox
    ):
        claimed = f"{spec.work}/claimed-{name}"
        os.rename(tarball, claimed)
    else:
        claimed = f"{spec.work}/claimed-copy-{name}"
        shutil.copyfile(tarball, claimed)
    return claimed


def _give_back(claimed: str, tarball: str) -> None:
    if os.path.exists(tarball):
        os.unlink(claimed)
    else:
        os.rename(claimed, tarball)


def _set_aside(spec: ReleaseSpec, claimed: str, name: str, reason: str) -> None:
    """Move a refused upload out of the way, with the reason; a copy is just removed."""
    if os.path.basename(claimed).startswith("claimed-copy-"):
        os.unlink(claimed)
        return
    refused = f"{spec.inbox}/refused"
    os.makedirs(refused, exist_ok=True)
    os.replace(claimed, f"{refused}/{name}")
    with open(f"{refused}/{name}.reason.txt", "w", encoding="utf-8") as file:
        file.write(f"{clock.stamp(clock.wall())} {reason}\n")


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
                _remove(inside)
        elif not os.path.lexists(lasting) and "." not in os.path.basename(relative):
            os.mkdir(lasting)
        os.symlink(lasting, inside)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _listed(path: str) -> list[str]:
    return os.listdir(path) if os.path.isdir(path) else []


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
    """Remove releases that nobody needs; return them."""
    gone = prune.superfluous(current.releases(spec), keep=spec.keep, running=running)
    for release in gone:
        # Renamed first: half a release never has a release's name.
        doomed = f"{spec.work}/removed-{release.name}"
        os.rename(release.path, doomed)
        shutil.rmtree(doomed)
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
