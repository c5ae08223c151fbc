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
    try:
        _fill(tree, current.require_visible(shared, name), entries, until)
    except (GaplessError, OSError):
        # It may have as much as this disk could take.
        with contextlib.suppress(OSError):
            paths.remove(tree)
        raise
    # Its folders and links too: what has the name of a release is taken for whole.
    files.sync_file_system(own.dist)
    files.rename(tree, release.path)
    return release


def _fill(tree: str, source: Release, entries: file_list.Entries, until: float) -> None:
    """Copy what a list names to a new directory, and write RELEASE.

    Raises TimedOutError, ReleaseError, OSError.
    """
    for relative, entry in entries.items():
        _check_time(source, until)
        if "sha256" in entry:
            _copy_file(source, relative, tree, entry, until)
        elif "link" in entry:
            os.symlink(str(entry["link"]), f"{tree}/{relative}")
        else:
            os.mkdir(f"{tree}/{relative}", files.SHARED_DIRECTORY)
    for relative, entry in reversed(entries.items()):
        if "directory" in entry and "mode" in entry:
            # The deepest first, and now: a folder may not be writable for its owner.
            os.chmod(f"{tree}/{relative}", int(str(entry["mode"])))
    stamp_line = f"{source.stamp}\n".encode()
    files.write_atomically(f"{tree}/{RELEASE_FILE}", stamp_line, files.SHARED_FILE)


def _copy_file(
    release: Release, relative: str, tree: str, entry: dict[str, object], until: float
) -> None:
    source, digest = f"{release.path}/{relative}", hashlib.sha256()
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(outside_files.open_regular(source), "rb") as file:
        created = os.open(f"{tree}/{relative}", how, files.PRIVATE_FILE)
        with os.fdopen(created, "wb") as copied:
            while piece := file.read(_PIECE_BYTES):
                _check_time(release, until)  # it may grow for ever, or be all holes
                digest.update(piece)
                copied.write(piece)
            os.fchmod(copied.fileno(), int(str(entry["mode"])))
    if digest.hexdigest() != entry["sha256"]:
        raise ReleaseError(f"{source} is not what was published as {release.name}")


def _check_time(release: Release, until: float) -> None:
    if clock.monotonic() >= until:
        raise TimedOutError(f"{release.app}: {release.name} was not copied in time")
