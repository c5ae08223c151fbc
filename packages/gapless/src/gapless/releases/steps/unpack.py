"""Unpack a tarball into a new directory; no member is written outside of it.

Each member is checked before its first byte is written.  Only this process writes to the
directory meanwhile.  A refused member ends the unpacking.  Digests are taken in the same
pass.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import tarfile
from dataclasses import dataclass, field

from gapless.base.errors import ReleaseError
from gapless.releases.model import Limits
from gapless.releases.steps import member_checks
from gapless.releases.tarballs import BROKEN

_PIECE_BYTES = 1 << 20


@dataclass(slots=True)
class Unpacked:
    """What came out of a tarball."""

    files: int = 0
    folders: int = 0
    size_bytes: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file, by relative path."""


class _RefusedError(Exception):
    """What a member of the tarball would do, which is not allowed."""


def unpack(tarball: str, directory: str, limits: Limits) -> Unpacked:
    """Unpack *tarball* into the new directory *directory*, its one top folder stripped.

    Raises ReleaseError that names the member and the reason, and OSError, as for a full
    disk.  The directory may then hold a part; the caller removes it.
    """
    name = os.path.basename(tarball)
    os.mkdir(directory, 0o755)
    unpacked = Unpacked()
    try:
        with tarfile.open(tarball, "r:*") as archive:
            for member in archive:
                member_checks.check_member(
                    name,
                    member,
                    limits,
                    size_bytes=unpacked.size_bytes,
                    count=unpacked.files + unpacked.folders,
                )
                _write(archive, member, directory, unpacked)
    except _RefusedError as error:
        raise ReleaseError(f"{name} was refused: {error}") from None
    except OSError as error:
        if isinstance(error, (tarfile.TarError, EOFError)) or error.errno is None:
            raise ReleaseError(f"{name} is broken: {_reason(error)}") from error
        raise
    except BROKEN as error:
        raise ReleaseError(f"{name} is broken: {_reason(error)}") from error
    if not unpacked.files:
        raise ReleaseError(f"{name} is empty: it holds no file")
    _strip_top(directory, unpacked)
    member_checks.check_links(name, directory)
    return unpacked


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "it ends too early" if isinstance(error, EOFError) else text.lower()


def _strip_top(directory: str, unpacked: Unpacked) -> None:
    """Move the content of the top folder one level up, if there is just one."""
    names = os.listdir(directory)
    top = os.path.join(directory, names[0])
    if len(names) != 1 or os.path.islink(top) or not os.path.isdir(top):
        return
    beside = f"{directory}.top"
    os.rename(top, beside)
    os.rmdir(directory)
    os.rename(beside, directory)
    unpacked.digests = {
        path.partition("/")[2]: digest for path, digest in unpacked.digests.items()
    }


def _write(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    directory: str,
    unpacked: Unpacked,
) -> None:
    relative = posixpath.normpath(member.name)
    path = os.path.join(directory, relative)
    if relative == ".":
        return
    unpacked.folders += _make_parents(directory, relative, member.name)
    if member.isdir():
        if not os.path.isdir(path) or os.path.islink(path):
            _remove_earlier(path, member.name)
            os.mkdir(path)
            unpacked.folders += 1
        os.chmod(path, (member.mode & 0o777) | 0o700)
        return
    _remove_earlier(path, member.name)
    if member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        target = os.path.join(directory, posixpath.normpath(member.linkname))
        # A folder above the target may be a link that leads out of the tree.
        is_itself = os.path.realpath(target) == os.path.join(
            os.path.realpath(directory), posixpath.normpath(member.linkname)
        )
        if not is_itself or not os.path.isfile(target):
            raise _RefusedError(
                f"its member {member.name!r} is a hard link to {member.linkname!r}, "
                "which is no file in it"
            )
        os.link(target, path)
    else:
        _write_file(archive, member, path, relative, unpacked)
    unpacked.files += 1


def _make_parents(directory: str, relative: str, name: str) -> int:
    """Make the folders above a member; return how many were made.

    Raises _RefusedError for a link among them, which could lead out.
    """
    at, made = directory, 0
    for piece in relative.split("/")[:-1]:
        at = os.path.join(at, piece)
        try:
            mode = os.lstat(at).st_mode
        except FileNotFoundError:
            os.mkdir(at, 0o755)
            made += 1
            continue
        if not stat.S_ISDIR(mode):
            raise _RefusedError(
                f"its member {name!r} lies below something that is no folder"
            )
    return made


def _remove_earlier(path: str, name: str) -> None:
    """Remove an earlier member of the same name.  Raises _RefusedError for a folder."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise _RefusedError(f"its member {name!r} would replace a folder")
    os.unlink(path)


def _write_file(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    path: str,
    relative: str,
    unpacked: Unpacked,
) -> None:
    source = archive.extractfile(member)
    assert source is not None
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, (member.mode & 0o777) | 0o600)
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "wb") as target:
        left_bytes = member.size
        while left_bytes > 0:
            piece = source.read(min(_PIECE_BYTES, left_bytes))
            if not piece:
                raise EOFError
            left_bytes -= len(piece)
            unpacked.size_bytes += len(piece)
            digest.update(piece)
            target.write(piece)
    os.utime(path, (member.mtime, member.mtime))
    unpacked.digests[relative] = digest.hexdigest()
