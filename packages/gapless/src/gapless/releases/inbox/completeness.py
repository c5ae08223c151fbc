"""Whether an upload is complete.

"The same size for a second" is not "complete": an upload may pause.  An upload counts as
complete when it matches its checksum file.  Without a checksum file it must be unchanged
between two checks, and readable to the end of the archive.  An app with `signers` opens no
archive before it knows who signed it: the digest in the signature is the checksum then.
"""

from __future__ import annotations

import contextlib
import os

from gapless.base import clock
from gapless.base.errors import ReleaseError
from gapless.releases import tarballs
from gapless.releases.digests import sha256_of
from gapless.releases.file_state import FileState, state_of
from gapless.releases.inbox.uploads import CHECKSUM_ENDINGS
from gapless.releases.signing import uploads

STALE_S = 60.0


def states_of(path: str) -> tuple[FileState | None, ...]:
    """Return the states of an upload and its checksum files.

    Only a change of them, or a second look that finds none, changes `is_complete`.
    """
    endings = ("", *CHECKSUM_ENDINGS, uploads.ENDING)
    return tuple(_state_of(path + ending) for ending in endings)


def _state_of(path: str) -> FileState | None:
    """Return the state of a file; None also for a link that leads nowhere."""
    try:
        return state_of(path)
    except OSError:
        return None


def is_stale(path: str) -> bool:
    """Return whether an upload exists, and has not changed for `STALE_S`."""
    found = state_of(path)
    return found is not None and clock.wall() - found.changed_ns / 1e9 > STALE_S


def is_complete(
    path: str, earlier: FileState | None, *, is_signed: bool = False
) -> tuple[bool, str]:
    """Return whether an upload is complete, and if not, why.

    *earlier* is its state at the check before.  One that has to be signed is not opened.
    """
    for ending in CHECKSUM_ENDINGS:
        if os.path.isfile(path + ending):
            if matches(path, path + ending):
                return True, ""
            return False, f"it does not match {os.path.basename(path + ending)} yet"
    now = state_of(path)
    if now is None or now != earlier:
        return False, "it is changing, or was not seen before"
    if is_signed:
        with contextlib.suppress(ReleaseError):  # who publishes refuses it
            _, statement, _ = uploads.read(path + uploads.ENDING)
            if statement.sha256 != sha256_of(path):
                name = os.path.basename(path) + uploads.ENDING
                return False, f"it does not match {name} yet"
        return True, ""
    try:
        tarballs.read_to_end(path)
    except tarballs.BROKEN as error:
        return False, f"it cannot be read to its end: {error}"
    except OSError as error:
        return False, f"it cannot be read: {error}"
    return True, ""


def matches(path: str, checksum: str) -> bool:
    """Return whether a file has the SHA-256 that its checksum file names."""
    with open(checksum, encoding="ascii", errors="replace") as file:
        expected = (file.read().split() or [""])[0].lower()
    return sha256_of(path) == expected
