"""Take an upload out of an inbox, and no newer one that got its name meanwhile.

It is renamed to the work directory first, and looked at there: between a look and an
unlink(2) in the inbox another upload might get that name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from gapless.base import files as disk
from gapless.base.outside import files
from gapless.releases.file_state import FileState, state_of
from gapless.releases.inbox import checksums, opened
from gapless.releases.model import ReleaseSpec

TAKEN = "taken-"
"""How the name of an upload begins in the work directory until it is removed."""


def check(spec: ReleaseSpec, descriptor: int) -> None:
    """Check that an upload can be taken out once it is published.

    Raises OSError: it would be published for ever.
    """
    inbox, work, found = os.stat(spec.inbox), os.stat(spec.work), os.fstat(descriptor)
    if inbox.st_dev != work.st_dev:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), spec.inbox)
    is_sticky = inbox.st_mode & stat.S_ISVTX and os.geteuid() != 0
    is_others = os.geteuid() not in (inbox.st_uid, found.st_uid)
    if not os.access(spec.inbox, os.W_OK | os.X_OK) or (is_sticky and is_others):
        raise PermissionError(errno.EACCES, "it could not be taken out", spec.inbox)


def take_out(spec: ReleaseSpec, name: str, state: FileState, sha256: str) -> None:
    """Remove the upload *name*, if it is in that state still, and its checksum files.

    May be called again.  *sha256* is that of the upload.  Raises OSError.
    """
    with opened.directory(spec.inbox) as inbox, opened.directory(spec.work) as work:
        if state_of(name, dir_fd=inbox) == state:
            with contextlib.suppress(FileNotFoundError):
                os.rename(name, TAKEN + name, src_dir_fd=inbox, dst_dir_fd=work)
        settle(spec, name, state, sha256)
        _remove_checksums(spec, name, sha256)
        # Else it would come back when power is lost, and be published once more: perhaps
        # after a rollback.
        disk.sync(work)
        disk.sync(inbox)


def settle(
    spec: ReleaseSpec, name: str, state: FileState | None, sha256: str = ""
) -> None:
    """Remove what was taken out if it is in that state; else it is a newer upload.

    That one goes back, unless there is a still newer one.  Raises OSError.
    """
    with opened.directory(spec.work) as work:
        found = state_of(TAKEN + name, dir_fd=work)
        if found is None:
            return
        if found != state:
            give_back(spec, TAKEN + name, name)
        else:  # while it is here, the next publisher knows what is left to remove
            _remove_checksums(spec, name, sha256 or _sha256(TAKEN + name, work))
    _discard(spec, TAKEN + name)


def is_left(spec: ReleaseSpec, name: str, state: FileState) -> bool:
    """Return whether an upload in that state is still to be taken out."""
    is_there = state_of(f"{spec.inbox}/{name}") == state
    return is_there or os.path.lexists(f"{spec.work}/{TAKEN}{name}")


def _discard(spec: ReleaseSpec, own: str) -> None:
    """Remove what was taken out, if it is there still.

    A directory that somebody put in its place goes back by another name: it may be deeper
    than can be removed.
    """
    with opened.directory(spec.inbox) as inbox, opened.directory(spec.work) as work:
        try:
            mode = os.stat(own, dir_fd=work, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            aside = f".{os.urandom(8).hex()}-no-upload"
            os.rename(own, aside, src_dir_fd=work, dst_dir_fd=inbox)
        else:
            os.unlink(own, dir_fd=work)


def _sha256(name: str, work: int) -> str:
    """Return the SHA-256 of what was taken out; its uploader may write to it still."""
    descriptor = files.open_regular(name, dir_fd=work)
    try:
        return opened.sha256_of(descriptor)
    except opened.IncompleteError:
        return ""
    finally:
        os.close(descriptor)


def _remove_checksums(spec: ReleaseSpec, name: str, sha256: str) -> None:
    """Remove the checksum files of an upload, unless there is a newer upload."""
    if not os.path.lexists(f"{spec.inbox}/{name}"):
        checksums.remove_own(f"{spec.inbox}/{name}", sha256)


def give_back(spec: ReleaseSpec, own: str, name: str) -> None:
    """Rename *own*, of the work directory, to *name* in the inbox, if that is free.

    Raises OSError.
    """
    with opened.directory(spec.inbox) as inbox, opened.directory(spec.work) as work:
        if state_of(name, dir_fd=inbox) is None:
            os.rename(own, name, src_dir_fd=work, dst_dir_fd=inbox)
