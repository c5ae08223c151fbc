"""The list of a release's files, with their digests: hosts verify their copies by it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator

from gapless.base import files
from gapless.base.errors import ReleaseError
from gapless.base.outside import files as outside_files
from gapless.releases.digests import sha256_of
from gapless.releases.model import RELEASE_FILE, Release, ReleaseSpec

Entries = dict[str, dict[str, object]]
"""By relative path: `link`, or `directory` and `mode`, or `sha256` and `mode` of a file.

Earlier versions wrote no mode of a directory."""
MOST_BYTES = 256 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")

MOST_MODE = 0o7777


def path_of(spec: ReleaseSpec, name: str) -> str:
    """Return the path of the list of a release."""
    return f"{spec.reports_of(name)}/files.json"


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
        content = outside_files.read(path, MOST_BYTES)
    except FileNotFoundError as error:
        if not os.path.isdir(spec.reports):
            raise  # the shared directory is not mounted now
        raise ReleaseError(
            f"{spec.app}: no list of the files of {name}: {path}",
            hint="it is written where `gapless watch` publishes with copy = true",
        ) from error
    if not digest or hashlib.sha256(content).hexdigest() != digest:
        raise ReleaseError(f"{spec.app}: {path} is not what was published")
    try:
        return _checked(json.loads(content))
    except (ValueError, RecursionError) as error:
        # The digest is that of the rollout's record, which others may have written.
        raise ReleaseError(f"{spec.app}: {path} is no list of files: {error}") from None


def differences(top: str, entries: Entries, *, allows_more: bool) -> Iterator[str]:
    """Yield what of a release is not as its list has it; every file is read.

    Not only files: links by what they say, folders, modes, and what is not in the list (a
    program may load a file by its name alone).  *allows_more*: what is in no list is left
    alone, since the release has run here and its app may write.  Raises OSError.
    """
    missing = set(entries)
    for relative, found in _walk(top):
        if relative == RELEASE_FILE and _is_plain(found):
            continue  # it changes when the release becomes current
        missing.discard(relative)
        path, entry = f"{top}/{relative}", entries.get(relative)
        if entry is None:
            if not allows_more:
                yield f"{relative} was not published"
        elif "link" in entry:
            if not stat.S_ISLNK(found.st_mode) or os.readlink(path) != entry["link"]:
                yield f"{relative} is not the link that was published"
        elif "directory" in entry:
            mode = entry.get("mode", stat.S_IMODE(found.st_mode))
            if not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) != mode:
                yield f"{relative} is not the folder that was published"
        elif stat.S_IMODE(found.st_mode) != entry["mode"]:
            yield f"{relative} has another mode than was published"
        elif not stat.S_ISREG(found.st_mode) or _sha256(path) != entry["sha256"]:
            yield f"{relative} is not the file that was published"
    yield from (f"{relative} is missing" for relative in sorted(missing))


def _is_plain(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and not found.st_mode & 0o111


def _sha256(path: str) -> str:
    with open(outside_files.open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(entries: object) -> Entries:
    """Return a list of files, if no path in it leads out of a release.

    Raises ValueError.
    """
    if not isinstance(entries, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - a file is wrong, no argument
    for path, entry in entries.items():
        parts = path.split("/")
        os.fsencode(path)  # JSON can hold text that no name can be: ValueError
        if not path or "\0" in path or not {"", ".", ".."}.isdisjoint(parts):
            raise ValueError(f"{ascii(path)[:80]} is no path in a release")
        if path == RELEASE_FILE:
            raise ValueError(f"{RELEASE_FILE} is in no list: each host writes its own")
        if not isinstance(entry, dict) or not _is_entry(entry):
            raise ValueError(f"{ascii(path)[:80]} is no file, link or directory")
        above = "/".join(parts[:-1])
        if above and "directory" not in entries.get(above, {}):
            raise ValueError(f"{ascii(path)[:80]} is in no directory of the list")
    return entries


def _is_entry(entry: dict[str, object]) -> bool:
    mode = entry.get("mode")
    is_mode = type(mode) is int and 0 <= mode <= MOST_MODE
    match sorted(entry):
        case ["link"]:
            target = entry["link"]
            return isinstance(target, str) and b"\0" not in os.fsencode(target)
        case ["directory"]:
            return entry["directory"] is True
        case ["directory", "mode"]:
            return entry["directory"] is True and is_mode
        case ["mode", "sha256"]:
            digest = entry["sha256"]
            is_digest = isinstance(digest, str) and _SHA256.fullmatch(digest)
            # No release has a file that runs as its owner (`unpack`).
            return is_mode and not int(str(mode)) & 0o6000 and bool(is_digest)
        case _:
            return False


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every path below a directory, a directory before the paths in it.

    What goes meanwhile is left out.  Raises OSError for a folder that cannot be read, or
    lies too deep (PATH_MAX): there would be more than is yielded.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        folders = []
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(os.path.join(top, below))):
                relative = os.path.join(below, name)
                with contextlib.suppress(FileNotFoundError):
                    found = os.lstat(os.path.join(top, relative))
                    yield relative, found
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(relative)
        waiting += reversed(folders)
