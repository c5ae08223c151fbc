"""An upload is opened once: what is judged, hashed and copied is what the descriptor has.

Rule 1: a publisher lends nobody its right to read.  Whoever may write an inbox may put a
link there, or give a file of somebody else a name there (link(2)); neither is taken.
Rule 2: an uploader may go on writing.  No more is read than the file had when it was
opened, and a file that has changed meanwhile is looked at again later.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from gapless.base.errors import (
    ConflictError,
    GaplessError,
    NotFoundError,
    ReleaseError,
)
from gapless.base.outside import files
from gapless.base.outside.text import printable
from gapless.releases import file_state

_PIECE_BYTES = 1 << 20
_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_NOT_REGULAR = (errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ENODEV)
_PRIVATE = "is the publisher's own, and those who may write the inbox may not read it"


class IncompleteError(ConflictError):
    """An upload is not complete, or changes while it is read: it may be taken later."""


@contextmanager
def upload(path: str, most_bytes: int) -> Iterator[int]:
    """Yield a descriptor of an upload in an inbox, which is no link.

    Raises NotFoundError if there is none, ReleaseError if it can be no upload, and OSError
    if it cannot be opened now (EAGAIN: its owner holds a lease, fcntl(2)).
    """
    folder, name = os.path.split(path)
    with directory(folder) as held, _closing(_open(path, name, held)) as descriptor:
        found = os.fstat(descriptor)
        if fault := why_not(found, os.fstat(held), most_bytes, os.geteuid()):
            raise refusal(path, fault)
        yield descriptor


@contextmanager
def tarball(path: str, most_bytes: int) -> Iterator[int]:
    """Yield a descriptor of a tarball that an operator has named: it may be a link.

    Raises as `upload` does.
    """
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, how)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no tarball {printable(path)}") from None
    with _closing(descriptor):
        found = os.fstat(descriptor)
        if fault := _form(found.st_mode) or _size(found.st_size, most_bytes):
            raise refusal(path, fault)
        yield descriptor


@contextmanager
def directory(path: str) -> Iterator[int]:
    """Yield a descriptor of a directory.  Raises OSError."""
    how = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with _closing(os.open(path, how)) as descriptor:
        yield descriptor


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: str, name: str, folder: int) -> int:
    try:
        return files.open_regular(name, dir_fd=folder)
    except FileNotFoundError:
        raise NotFoundError(f"there is no tarball {printable(path)}") from None
    except OSError as error:
        if error.errno not in _NOT_REGULAR:
            raise
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    raise refusal(path, _form(found.st_mode) or "is not a regular file")


def refusal(path: str, fault: str) -> ReleaseError:
    """Return the error for an upload that is not taken."""
    hint = "an upload is a regular file of who uploads it, with a plain name"
    if "more than" in fault:
        hint = "limits.max_upload_mb of [release.NAME] is the limit"
    elif fault == _PRIVATE:
        hint = "if you have put it there: move it out, and `gapless publish` it by its path"
    return ReleaseError(
        f"{printable(os.path.basename(path))} is not taken: it {fault}", hint=hint
    )


def unreadable(path: str, error: OSError) -> GaplessError:
    """Return the error for a tarball that cannot be opened, or not be taken out."""
    name, where = (
        printable(os.path.basename(path)),
        printable(str(error.filename or path)),
    )
    if error.errno == errno.EAGAIN:
        return IncompleteError(f"{name} is kept open by who uploads it (a lease)")
    reason = (error.strerror or str(error)).lower()
    return ReleaseError(
        f"{name} is not taken: {where}: {reason}",
        hint="the publisher has to read it, and to write the directory that it is in",
    )


def why_not(
    found: os.stat_result, folder: os.stat_result, most_bytes: int, publisher: int
) -> str:
    """Return why a file in an inbox can be no upload; empty if it can be one.  Pure.

    *publisher* is the user who reads it.  A file with a second name may be another user's,
    whose first name the uploader cannot even see.  One of the publisher (or of root) with a
    single name may have got it so: it was replaced where it came from.  It is taken only if
    all who may write the inbox may read it anyway.
    """
    if fault := _form(found.st_mode) or _size(found.st_size, most_bytes):
        return fault
    if found.st_nlink != 1:
        return f"has {found.st_nlink} names, so it may be somebody else's (hard links)"
    is_shared = folder.st_uid != publisher or folder.st_mode & _OF_OTHERS
    is_own = found.st_uid in (publisher, 0)
    if is_shared and is_own and not _may_read(found, folder):
        return _PRIVATE
    return ""


def _may_read(found: os.stat_result, folder: os.stat_result) -> bool:
    """Return whether whoever may write a folder may read a file of its owner."""
    if found.st_mode & stat.S_IROTH:
        return True
    if folder.st_mode & stat.S_IWOTH or folder.st_uid not in (found.st_uid, 0):
        return False
    if not folder.st_mode & stat.S_IWGRP:
        return True
    is_of_group = found.st_gid == folder.st_gid
    return is_of_group and bool(found.st_mode & stat.S_IRGRP)


def _form(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    forms = {
        stat.S_IFLNK: "is a link",
        stat.S_IFDIR: "is a directory",
        stat.S_IFIFO: "is a pipe",
        stat.S_IFSOCK: "is a socket",
    }
    return forms.get(stat.S_IFMT(mode), "is a device")


def _size(size_bytes: int, most_bytes: int) -> str:
    limit_mb = most_bytes >> 20
    return f"has more than {limit_mb} MB" if size_bytes > most_bytes else ""


# --- content --------------------------------------------------------------------------


def pieces(descriptor: int) -> Iterator[bytes]:
    """Yield what a file has, up to the size that it has now.

    Raises IncompleteError if it has changed at the end.
    """
    before = file_state.of(os.fstat(descriptor))
    at = 0
    while piece := os.pread(descriptor, min(_PIECE_BYTES, before.size_bytes - at), at):
        at += len(piece)
        yield piece
    if at != before.size_bytes or file_state.of(os.fstat(descriptor)) != before:
        raise IncompleteError("it is changing while it is read")


def sha256_of(descriptor: int) -> str:
    """Return the SHA-256 of a file.  Raises OSError, IncompleteError."""
    digest = hashlib.sha256()
    for piece in pieces(descriptor):
        digest.update(piece)
    return digest.hexdigest()
