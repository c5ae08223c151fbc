"""What is written about a release: beside it, since a release itself never changes.

Reports may be read by their owner and its group: what an app has printed is in them.  That
a release has failed, or has not served yet, is for the agents of all hosts.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from gapless.base import files
from gapless.base.outside import files as outside_files
from gapless.releases.model import Release, ReleaseSpec

FAILURE_FILE = "failed.txt"
REHEARSAL_FILE = "rehearsal.json"
UNPROVEN_FILE = "unproven.txt"
"""Exists from the placing of a release until it has proved itself."""
_MOST_REASON_BYTES = 1 << 20
_UNPROVEN = b"it is placed, and has not served yet\n"


def write_report(
    spec: ReleaseSpec, release: Release, host: str, report: dict[str, object]
) -> str:
    """Write the report of a release; return its path.

    The newest report is `HOST.json`.  An earlier one (a rollback returns to a release
    that has one) is kept as `HOST.1.json`, `HOST.2.json`..., oldest first.
    """
    folder = spec.reports_of(release.name)
    path = f"{folder}/{host}.json"
    files.make_directories(folder, files.SHARED_DIRECTORY)
    number = 1
    while os.path.exists(path):
        try:
            os.link(path, f"{folder}/{host}.{number}.json")
            break
        except FileExistsError:
            number += 1
    files.write_json(path, report, files.GROUP_FILE)
    return path


def mark_failed(spec: ReleaseSpec, release: Release, reason: str) -> None:
    """Write down that a release failed, and why."""
    folder = spec.reports_of(release.name)
    files.make_directories(folder, files.SHARED_DIRECTORY)
    files.write_atomically(
        f"{folder}/{FAILURE_FILE}", reason.encode(), files.SHARED_FILE
    )


def failure_of(spec: ReleaseSpec, name: str) -> str:
    """Return why a release failed; empty if it did not.

    That there is such a file says that it did, whatever is in it.
    """
    path = f"{spec.reports_of(name)}/{FAILURE_FILE}"
    try:
        content = outside_files.read(path, _MOST_REASON_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return (
            f"it failed; why cannot be read: {(error.strerror or str(error)).lower()}"
        )
    return content.decode(errors="replace").strip() or "it failed"


def mark_unproven(spec: ReleaseSpec, name: str) -> None:
    """Write down that a release has not served yet; before it gets its name."""
    folder = spec.reports_of(name)
    files.make_directories(folder, files.SHARED_DIRECTORY)
    files.write_atomically(f"{folder}/{UNPROVEN_FILE}", _UNPROVEN, files.SHARED_FILE)


def mark_proven(spec: ReleaseSpec, name: str) -> None:
    """Write down that a release serves: that it failed once counts no longer."""
    for file in (FAILURE_FILE, UNPROVEN_FILE):
        files.remove(f"{spec.reports_of(name)}/{file}")


def is_proven(spec: ReleaseSpec, name: str) -> bool:
    """Return whether a release has served, or was made by an earlier version."""
    return not os.path.exists(f"{spec.reports_of(name)}/{UNPROVEN_FILE}")


def report_of(
    spec: ReleaseSpec, name: str, host: str, token: str
) -> dict[str, Any] | None:
    """Return the newest report of a release if it is that of *token*, a reload."""
    path = f"{spec.reports_of(name)}/{host}.json"
    try:
        found = files.read_json(path)
    except (ValueError, RecursionError, OSError):
        return None
    is_it = isinstance(found, dict) and found.get("token") == token
    return {**found, "report": path} if is_it else None


def rehearsal_of_tarball(spec: ReleaseSpec, sha256: str) -> str:
    """Return the file of the rehearsal of a tarball, by its digest."""
    return f"{spec.reports}/rehearsals/{sha256}.json"


def keep_rehearsal(spec: ReleaseSpec, name: str, sha256: str) -> None:
    """Keep the rehearsal of a tarball with the release that was made from it, if any.

    It is for people: an error does not end a publish.
    """
    folder = spec.reports_of(name)
    with contextlib.suppress(OSError):
        os.link(
            rehearsal_of_tarball(spec, sha256),
            f"{folder}/{REHEARSAL_FILE}",
            follow_symlinks=False,
        )


def remove_parts(spec: ReleaseSpec, name: str) -> None:
    """Remove what a publisher of this host was writing about a release when it died."""
    files.remove_parts(spec.reports_of(name))
