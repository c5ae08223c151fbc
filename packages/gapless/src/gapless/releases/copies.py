"""A copy of a release on a host's own disk: every file is verified, or there is no copy."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import select

from gapless.base import clock, files
from gapless.base.errors import GaplessError, ReleaseError, TimedOutError
from gapless.base.outside import files as outside_files
from gapless.releases import current, file_list, paths
from gapless.releases.model import RELEASE_FILE, Release, ReleaseSpec

RETRY_S = 0.5
_COPY = "copy-"
_OWN_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the host's own disk: trying again does not help."""
_PIECE_BYTES = 1 << 20


def copy(
    shared: ReleaseSpec, own: ReleaseSpec, name: str, digest: str, until: float
) -> Release:
    """Copy a release from *shared* to *own*, this host's disk, unless it is there.

    *digest* is the SHA-256 of its list of files, *until* is on CLOCK_MONOTONIC.  What
    cannot be read (the shared directory may be away for a moment) is tried again.  Raises
    TimedOutError, and ReleaseError if a file differs from what was published or this
    disk cannot take it.
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
    release = current.release_of(own, name)
    if current.is_visible(own, release.name):
        return release
    entries = file_list.read(shared, name, digest)
    files.make_directories(own.work, files.SHARED_DIRECTORY)
    for unfinished in os.listdir(own.work):  # of an agent that was killed
        if unfinished.startswith(_COPY):
            with contextlib.suppress(OSError):
                paths.remove(f"{own.work}/{unfinished}")
    tree = f"{own.work}/{_COPY}{name}"
    os.mkdir(tree, files.SHARED_DIRECTORY)
    source = current.require_visible(shared, name).path
    for relative, entry in entries.items():
        if clock.monotonic() >= until:
            raise TimedOutError(f"{own.app}: {name} was not copied in time")
        _copy_entry(f"{source}/{relative}", f"{tree}/{relative}", entry, name)
    for relative, entry in reversed(entries.items()):
        if "directory" in entry and "mode" in entry:
            # The deepest first, and now: a folder may not be writable for its owner.
            os.chmod(f"{tree}/{relative}", int(str(entry["mode"])))
    stamp_line = f"{release.stamp}\n".encode()
    files.write_over(f"{tree}/{RELEASE_FILE}", stamp_line, files.SHARED_FILE)
    os.rename(tree, release.path)
    files.sync_directory(own.dist)
    return release


def _copy_entry(source: str, target: str, entry: dict[str, object], name: str) -> None:
    if "directory" in entry:
        os.mkdir(target, files.SHARED_DIRECTORY)
    elif "link" in entry:
        os.symlink(str(entry["link"]), target)
    else:
        digest = hashlib.sha256()
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = outside_files.open_regular(source)
        with open(descriptor, "rb") as file:
            created = os.open(target, how, files.PRIVATE_FILE)
            with os.fdopen(created, "wb") as copied:
                while piece := file.read(_PIECE_BYTES):
                    digest.update(piece)
                    copied.write(piece)
                os.fchmod(copied.fileno(), int(str(entry["mode"])))
                os.fsync(copied.fileno())
        if digest.hexdigest() != entry["sha256"]:
            raise ReleaseError(f"{source} is not what was published as {name}")
