"""Whether an upload is complete.

"The same size for a second" is not "complete": an upload may pause.  An upload counts as
complete when it matches its checksum file.  Without a checksum file it must be unchanged
between two checks, and readable to the end of the archive.  An app with `signers` opens no
archive before it knows who signed it: the digest in the signature is the checksum then.

This is a look ahead, at a file that its uploader may still write to.  What counts is the
copy that a publisher makes of it (`admission`).
"""

from __future__ import annotations

from gapless.base import clock
from gapless.base.errors import NotFoundError, ReleaseError
from gapless.releases import file_state, tarballs
from gapless.releases.file_state import FileState, state_of
from gapless.releases.inbox import checksums, opened
from gapless.releases.model import Limits
from gapless.releases.signing import uploads

STALE_S = 60.0


def states_of(path: str) -> tuple[FileState | None, ...]:
    """Return the states of an upload and its checksum files.

    Only a change of them, or a second look that finds none, changes `is_complete`.
    """
    return tuple(
        state_of(path + ending) for ending in ("", *checksums.ENDINGS, uploads.ENDING)
    )


def is_stale(path: str) -> bool:
    """Return whether an upload exists, and has not changed for `STALE_S`."""
    found = state_of(path)
    return found is not None and clock.wall() - found.changed_ns / 1e9 > STALE_S


def is_complete(
    path: str, earlier: FileState | None, limits: Limits, *, is_signed: bool = False
) -> tuple[bool, str]:
    """Return whether an upload is complete, and if not, why.

    *earlier* is its state at the check before.  What can never be an upload is complete:
    who publishes it says why it is refused.  One that has to be signed is not opened.
    """
    try:
        with opened.upload(path, limits.max_upload_bytes) as descriptor:
            read_within = None if is_signed else limits
            why = _missing(path, descriptor, earlier, read_within)
    except ReleaseError:
        return True, ""
    except (opened.IncompleteError, NotFoundError) as error:
        return False, error.message
    except OSError as error:
        return False, f"it cannot be read: {error.strerror or error}"
    return not why, why


def _missing(
    path: str, descriptor: int, earlier: FileState | None, limits: Limits | None
) -> str:
    """Return what an upload lacks; empty if it is complete.

    Without *limits* it is not opened: it has to be signed.
    """
    try:
        found = checksums.expected(path)
    except OSError as error:
        return f"its checksum file cannot be read: {error.strerror or error}"
    if found is not None:
        is_same = opened.sha256_of(descriptor) == found[1]
        return "" if is_same else f"it does not match {found[0]} yet"
    now = state_of(path)
    if now is None or now != earlier:
        return "it is changing, or was not seen before"
    if limits is None:
        return _missing_by_signature(path, descriptor)
    try:
        tarballs.read_to_end(descriptor, limits)
    except tarballs.BROKEN as error:
        return f"it cannot be read to its end: {error}"
    return "" if file_state.state_of(path) == now else "it is changing"


def _missing_by_signature(path: str, descriptor: int) -> str:
    """Return what an upload lacks by its signature, of which nothing is verified here."""
    try:
        _, statement, _ = uploads.read(path + uploads.ENDING)
    except ReleaseError:
        return ""  # who publishes it says why it is refused
    is_same = opened.sha256_of(descriptor) == statement.sha256
    return "" if is_same else f"it does not match its {uploads.ENDING} file yet"
