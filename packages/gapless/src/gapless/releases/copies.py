"""A copy of a release on a host's own disk: every file is verified, or there is none."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import select
import shutil
import stat
from collections.abc import Iterator

from gapless.base import clock, files
from gapless.base.errors import GaplessError, NotFoundError, ReleaseError, TimedOutError
from gapless.releases.model import RELEASE_FILE, Release, ReleaseSpec

LISTING = "files.json"
RETRY_S = 0.5
_COPY = "copy-"
_OWN_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_PIECE_BYTES = 1 << 20


def seal(spec: ReleaseSpec, release: Release) -> str:
    """Write down every file of a release, built ones as well; return the list's SHA-256."""
    folder = f"{spec.reports}/{release.name}"
    listed: dict[str, dict[str, object]] = {}
    for relative, found in _walk(release.path):
        if relative == RELEASE_FILE:
            continue  # it changes when the release becomes current
        path = f"{release.path}/{relative}"
        if stat.S_ISLNK(found.st_mode):
            listed[relative] = {"link": os.readlink(path)}
        elif stat.S_ISDIR(found.st_mode):
            listed[relative] = {"directory": True}
        elif stat.S_ISREG(found.st_mode):
            mode = stat.S_IMODE(found.st_mode)
            listed[relative] = {"sha256": _digest(path), "mode": mode}
    os.makedirs(folder, exist_ok=True)  # old scripts make none
    files.write_json(f"{folder}/{LISTING}", listed, 0o644)
    return _digest(f"{folder}/{LISTING}")


def sealed(spec: ReleaseSpec, name: str) -> str:
    """Return the SHA-256 of the list of a release; nothing if it was never written."""
    path = f"{spec.reports}/{name}/{LISTING}"
    return _digest(path) if os.path.isfile(path) else ""


def is_seen(spec: ReleaseSpec, name: str) -> bool:
    """Tell whether a release can be seen here.

    A client of NFS may not see a new directory for a minute.
    """
    return os.path.isfile(f"{spec.dist}/{name}/{RELEASE_FILE}")


def seen(spec: ReleaseSpec, name: str) -> Release:
    """Return a release that has to be there.  Raises NotFoundError."""
    if not is_seen(spec, name):
        raise NotFoundError(
            f"{spec.app}: there is no release {name} in {spec.dist}",
            hint="is the shared directory mounted here?",
        )
    stamp = name.removeprefix(f"{spec.app}-")
    return Release(app=spec.app, stamp=stamp, path=f"{spec.dist}/{name}")


def copy(
    shared: ReleaseSpec, own: ReleaseSpec, name: str, digest: str, until: float
) -> Release:
    """Bring a release to *own*, this host's disk; one that is whole there is kept.

    What cannot be read (the mount is away for a moment) is tried again until it is time.
    Raises ReleaseError for what is not as it was published or what this disk does not
    take, TimedOutError.
    """
    while True:
        try:
            return _copy(shared, own, name, digest, until)
        except GaplessError:
            raise
        except OSError as error:
            if error.errno in _OWN_DISK:
                raise ReleaseError(
                    f"{own.app}: {name} was not copied to {own.dist}: "
                    f"{error.filename or 'a file'}: {error.strerror}"
                ) from error
            if clock.monotonic() >= until:
                reason = (error.strerror or str(error)).lower()
                raise TimedOutError(
                    f"{own.app}: {name} was not copied in time: {error.filename}: {reason}"
                ) from error
        select.select([], [], [], RETRY_S)


def _copy(
    shared: ReleaseSpec, own: ReleaseSpec, name: str, digest: str, until: float
) -> Release:
    stamp = name.removeprefix(f"{own.app}-")
    release = Release(app=own.app, stamp=stamp, path=own.directory(stamp))
    if os.path.isfile(f"{release.path}/{RELEASE_FILE}"):
        return release
    listed = _listing(shared, name, digest)
    os.makedirs(own.work, exist_ok=True)
    for left in os.listdir(own.work):  # by an agent that was killed while it copied
        if left.startswith(_COPY):
            shutil.rmtree(f"{own.work}/{left}", ignore_errors=True)
    tree = f"{own.work}/{_COPY}{name}"
    os.mkdir(tree)
    source = f"{shared.dist}/{name}"
    for relative, entry in listed.items():
        if clock.monotonic() >= until:
            raise TimedOutError(f"{own.app}: {name} was not copied in time")
        _bring(f"{source}/{relative}", f"{tree}/{relative}", entry, name)
    with open(f"{tree}/{RELEASE_FILE}", "w", encoding="ascii") as file:
        file.write(f"{release.stamp}\n")
    os.rename(tree, release.path)
    files.sync_directory(own.dist)
    return release


def _listing(
    shared: ReleaseSpec, name: str, digest: str
) -> dict[str, dict[str, object]]:
    path = f"{shared.reports}/{name}/{LISTING}"
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError as error:
        if not os.path.isdir(shared.reports):
            raise  # the mount is away
        raise ReleaseError(
            f"{shared.app}: no list of the files of {name}: {path}",
            hint="it is written where `gapless watch` publishes with copy = true",
        ) from error
    if not digest or hashlib.sha256(content).hexdigest() != digest:
        raise ReleaseError(f"{shared.app}: {path} is not what was published")
    found: dict[str, dict[str, object]] = json.loads(content)
    return found


def _bring(source: str, target: str, entry: dict[str, object], name: str) -> None:
    if "directory" in entry:
        os.mkdir(target)
    elif "link" in entry:
        os.symlink(str(entry["link"]), target)
    else:
        digest = hashlib.sha256()
        with open(source, "rb") as file, open(target, "xb") as written:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                written.write(piece)
            os.fchmod(written.fileno(), int(str(entry["mode"])))
            os.fsync(written.fileno())
        if digest.hexdigest() != entry["sha256"]:
            raise ReleaseError(f"{source} is not what was published as {name}")


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every path below a directory, a directory before what is in it."""
    for folder, directories, names in os.walk(top):
        for name in sorted([*directories, *names]):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, top), os.lstat(path)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
