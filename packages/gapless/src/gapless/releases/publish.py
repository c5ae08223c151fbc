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
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from gapless.base import clock, files
from gapless.base.errors import (
    GaplessError,
    NotFoundError,
    ReleaseError,
    StoppedError,
)
from gapless.releases import build, current, inbox, prune, unpack
from gapless.releases.model import Release, ReleaseSpec, next_stamp, stamp_of

Progress = Callable[[str, str], None]
SETTLING = "settling"
"""The lock of who sees to the end of a rollout: a long build does not hold it up."""
_LASTING = ("lock", SETTLING, "link")
"""In the work directory, and none of a publisher's that died."""
_CLAIMED, _PLACED, _COPY, _REMOVED = "claimed-", "placed-", "copy-", "removed-"


def prepare(spec: ReleaseSpec, tarball: str, *, progress: Progress) -> Release:
    """Make a release of *tarball*; it is then in `dist/`, and not current yet.

    Call it with the lock held, and `finish` when the release was brought on.  *progress*
    may raise StoppedError before the hook: all is then as it was.

    Raises NotFoundError, ReleaseError, OSError.  A tarball from the inbox that cannot
    become a release is moved to `src/refused/` with the reason beside it.
    """
    if not os.path.isfile(tarball):
        raise NotFoundError(f"{spec.app}: there is no tarball {tarball}")
    clean_up(spec)
    claimed = _claim(spec, tarball)
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
        progress("claimed", os.path.basename(tarball))
        _make(spec, release, claimed, tree, progress)
    except StoppedError:
        _remove(tree)
        _give_back(claimed, tarball)
        raise
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
    return release


def placed(spec: ReleaseSpec) -> Release | None:
    """Return the release that a publisher made and died before it was brought on.

    Call it with the lock held, and `finish` afterwards.
    """
    for name in _listed(spec.work):
        if name.startswith(_PLACED):
            found = files.read_json(f"{spec.work}/{name}")
            claimed = f"{spec.work}/{_CLAIMED}{name.removeprefix(_PLACED)}"
            if os.path.exists(claimed):
                for release in current.releases(spec):
                    if release.name == found:
                        return release
    return None


def upload_of(spec: ReleaseSpec) -> str:
    """Return the name of the upload that is claimed, if one is."""
    found = [n for n in _listed(spec.work) if n.startswith(_CLAIMED)]
    return found[0].removeprefix(_CLAIMED) if found else ""


def finish(spec: ReleaseSpec) -> None:
    """Forget the tarball that was claimed: its release was brought on."""
    # In this order: a note without its tarball means nothing.
    for beginning in (_CLAIMED, _PLACED):
        for name in _listed(spec.work):
            if name.startswith(beginning):
                os.unlink(f"{spec.work}/{name}")


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
    with open(f"{tree}/RELEASE", "w", encoding="ascii") as file:
        file.write(f"{release.stamp}\n")
    os.chmod(f"{tree}/RELEASE", 0o644)
    _sync_file_system(spec.dist)
    progress("sealed", release.stamp)
    name = os.path.basename(claimed).removeprefix(_CLAIMED)
    files.write_json(f"{spec.work}/{_PLACED}{name}", release.name, 0o644)
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


@contextmanager
def lock(
    spec: ReleaseSpec, progress: Progress, name: str = "lock"
) -> Iterator[ReleaseSpec]:
    """Let one publisher of an app at a time go on; the second waits, and says so.

    Yields the spec with which commands are run: they inherit the lock, so that a
    migration of a publisher that was killed ends before the next one begins.

    flock(2) also holds between clients of one NFS server since Linux 2.6.12.
    """
    os.makedirs(spec.work, exist_ok=True)
    os.makedirs(spec.inbox, exist_ok=True)
    with open(f"{spec.work}/{name}", "a+", encoding="utf-8") as file:
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
        try:
            yield replace(spec, held=(file.fileno(),))
        finally:
            # Not only by closing: what a command left running holds it open.
            fcntl.flock(file, fcntl.LOCK_UN)


def recover(spec: ReleaseSpec) -> bool:
    """Take up what a publisher that died had claimed, unless one is at work.

    Tells whether a release is to be brought on: see `placed`.
    """
    if not upload_of(spec):
        return False
    with open(f"{spec.work}/lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if placed(spec) is not None:
            return True
        clean_up(spec)
    return False


def clean_up(spec: ReleaseSpec) -> None:
    """Remove what a publisher left that died; its claimed tarball goes back.

    One that is a release already is forgotten: something newer is under way.
    Call it with the lock held.
    """
    os.makedirs(spec.work, exist_ok=True)
    if placed(spec) is not None:
        finish(spec)
    for name in os.listdir(spec.work):
        path = f"{spec.work}/{name}"
        if name in _LASTING or name.startswith(_REMOVED):
            continue
        if name.startswith(_CLAIMED):
            _take_back(spec, path, name.removeprefix(_CLAIMED))
        else:
            _remove(path)


def _take_back(spec: ReleaseSpec, path: str, name: str) -> None:
    """Put a claimed tarball back into the inbox, unless a newer upload is there."""
    if name.startswith(_COPY) or os.path.lexists(f"{spec.inbox}/{name}"):
        os.unlink(path)
    else:
        os.rename(path, f"{spec.inbox}/{name}")


def _claim(spec: ReleaseSpec, tarball: str) -> str:
    name = os.path.basename(tarball)
    os.makedirs(spec.inbox, exist_ok=True)
    if os.path.realpath(os.path.dirname(tarball) or ".") == os.path.realpath(
        spec.inbox
    ):
        claimed = f"{spec.work}/{_CLAIMED}{name}"
        os.rename(tarball, claimed)
        for ending in inbox.CHECKSUM_ENDINGS:
            # It has served its purpose; the next upload of that name has its own.
            _remove(tarball + ending)
    else:
        claimed = f"{spec.work}/{_CLAIMED}{_COPY}{name}"
        shutil.copyfile(tarball, claimed)
    return claimed


def _give_back(claimed: str, tarball: str) -> None:
    if os.path.exists(tarball):
        os.unlink(claimed)
    else:
        os.rename(claimed, tarball)


def _set_aside(spec: ReleaseSpec, claimed: str, name: str, reason: str) -> None:
    """Move a refused upload out of the way, with the reason; a copy is just removed."""
    if os.path.basename(claimed).startswith(_CLAIMED + _COPY):
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


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    for name in _listed(spec.work):
        if name.startswith(_REMOVED):  # by one that died while it did
            _remove(f"{spec.work}/{name}")
    gone = prune.superfluous(current.releases(spec), keep=spec.keep, running=running)
    for release in gone:
        # Renamed first: half a release never has a release's name.
        doomed = f"{spec.work}/{_REMOVED}{release.name}"
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
