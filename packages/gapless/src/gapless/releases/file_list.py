"""The list of a release's files, with their digests: hosts verify their copies by it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator

from gapless.base import files
from gapless.base.errors import ReleaseError
from gapless.releases.digests import sha256_of
from gapless.releases.model import RELEASE_FILE, Release, ReleaseSpec

Entries = dict[str, dict[str, object]]
"""By relative path: `link`, or `directory` and `mode`, or `sha256` and `mode` of a file.

Earlier versions wrote no mode of a directory."""


def path_of(spec: ReleaseSpec, name: str) -> str:
    """Return the path of the list of a release."""
    return f"{spec.reports}/{name}/files.json"


def write(spec: ReleaseSpec, release: Release) -> str:
    """List every file of a release, built ones as well; return the list's SHA-256."""
    entries: Entries = {}
    for relative, found in _walk(release.path):
        if relative == RELEASE_FILE:
            continue  # it changes when the release becomes current
        path = f"{release.path}/{relative}"
        if stat.S_ISLNK(found.st_mode):
            entries[relative] = {"link": os.readlink(path)}
        elif stat.S_ISDIR(found.st_mode):
            mode = stat.S_IMODE(found.st_mode)
            entries[relative] = {"directory": True, "mode": mode}
        elif stat.S_ISREG(found.st_mode):
            mode = stat.S_IMODE(found.st_mode)
            entries[relative] = {"sha256": sha256_of(path), "mode": mode}
    path = path_of(spec, release.name)
    # It is missing for a release of old scripts.
    files.make_directories(os.path.dirname(path), files.SHARED_DIRECTORY)
    files.write_json(path, entries, files.SHARED_FILE)  # all hosts verify copies by it
    return sha256_of(path)


def digest_of(spec: ReleaseSpec, name: str) -> str:
    """Return the SHA-256 of the list of a release; empty if there is no list."""
    path = path_of(spec, name)
    return sha256_of(path) if os.path.isfile(path) else ""


def read(spec: ReleaseSpec, name: str, digest: str) -> Entries:
    """Return the list of a release, a directory before the files in it.

    Raises ReleaseError if there is no list or its SHA-256 is not *digest*, and OSError if
    it cannot be read now.
    """
    path = path_of(spec, name)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError as error:
        if not os.path.isdir(spec.reports):
            raise  # the shared directory is not mounted now
        raise ReleaseError(
            f"{spec.app}: no list of the files of {name}: {path}",
            hint="it is written where `gapless watch` publishes with copy = true",
        ) from error
    if not digest or hashlib.sha256(content).hexdigest() != digest:
        raise ReleaseError(f"{spec.app}: {path} is not what was published")
    entries: Entries = json.loads(content)
    return entries


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every path below a directory, a directory before the paths in it."""
    for folder, directories, names in os.walk(top):
        for name in sorted([*directories, *names]):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, top), os.lstat(path)
