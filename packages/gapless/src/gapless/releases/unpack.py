"""Unpack a tarball beside, and let nothing out of the directory.

Every member is judged before its first byte is written, and the tree into which it goes
was made by nobody but us: a refused member just ends it all.  Digests are taken in the
same pass.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import tarfile
import zlib
from dataclasses import dataclass, field
from lzma import LZMAError

from gapless.base.errors import ReleaseError
from gapless.releases.model import Limits

_CHUNK_BYTES = 1 << 20
BROKEN = (tarfile.TarError, EOFError, zlib.error, LZMAError, ValueError)


@dataclass(slots=True)
class Unpacked:
    """What came out of a tarball."""

    files: int = 0
    folders: int = 0
    size_bytes: int = 0
    digests: dict[str, str] = field(default_factory=dict)


def unpack(tarball: str, directory: str, limits: Limits) -> Unpacked:
    """Unpack *tarball* into the new directory *directory*, its one top folder stripped.

    Raises ReleaseError that names the member and the reason; the directory may then hold
    a part, and is the caller's to remove.  Raises OSError, as for a full disk.
    """
    name = os.path.basename(tarball)
    os.mkdir(directory, 0o755)
    unpacked = Unpacked()
    try:
        with tarfile.open(tarball, "r:*") as archive:
            for member in archive:
                _refuse(name, member, unpacked, limits)
                _write(archive, member, directory, unpacked)
    except OSError as error:
        if isinstance(error, (tarfile.TarError, EOFError)) or error.errno is None:
            raise ReleaseError(f"{name} is broken: {_reason(error)}") from error
        raise
    except BROKEN as error:
        raise ReleaseError(f"{name} is broken: {_reason(error)}") from error
    if not unpacked.files:
        raise ReleaseError(f"{name} is empty: it holds no file")
    _strip_top(directory, unpacked)
    _refuse_escapes(name, directory)
    return unpacked


def _refuse_escapes(name: str, directory: str) -> None:
    """Refuse a tree in which a link leads out, by whatever detour."""
    root = os.path.realpath(directory)
    for folder, folders, plain in os.walk(directory):
        for entry in (*folders, *plain):
            path = os.path.join(folder, entry)
            target = os.path.realpath(path) if os.path.islink(path) else root
            if target != root and not target.startswith(f"{root}/"):
                shown = os.path.relpath(path, directory)
                raise ReleaseError(
                    f"{name} was refused: its member {shown!r} is a link out of the "
                    f"tree: {os.readlink(path)}"
                )


def _reason(error: Exception) -> str:
    said = str(error) or type(error).__name__
    return "it ends too early" if isinstance(error, EOFError) else said.lower()


def _strip_top(directory: str, unpacked: Unpacked) -> None:
    """Move what lies in the one top folder up, if there is just one."""
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


def _refuse(
    name: str, member: tarfile.TarInfo, unpacked: Unpacked, limits: Limits
) -> None:
    """Raise ReleaseError for a member that must not be unpacked."""
    what = ""
    if member.name.startswith("/"):
        what = "has an absolute path"
    elif ".." in member.name.split("/"):
        what = "climbs out with .."
    elif "\0" in member.name or not posixpath.normpath(member.name):
        what = "has no proper name"
    elif not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        what = "is a device or a pipe"
    elif member.mode & (stat.S_ISUID | stat.S_ISGID) and not member.isdir():
        what = "has a set-id bit"
    elif member.issym() and _escapes(
        posixpath.join(posixpath.dirname(member.name), member.linkname), member.linkname
    ):
        what = f"is a link out of the tree: {member.linkname}"
    elif member.islnk() and _escapes(member.linkname, member.linkname):
        what = f"is a hard link out of the tree: {member.linkname}"
    elif (
        member.isreg() and unpacked.size_bytes + member.size > limits.max_unpacked_bytes
    ):
        limit = limits.max_unpacked_bytes >> 20
        what = f"takes more than the {limit} MB that all files together may have"
    elif unpacked.files + unpacked.folders >= limits.max_files:
        what = f"is one more than the {limits.max_files} files and folders that are allowed"
    if what:
        raise ReleaseError(
            f"{name} was refused: its member {member.name!r} {what}",
            hint="the limits stand in [release.NAME] limits"
            if "more than" in what
            else "",
        )


def _escapes(path: str, target: str) -> bool:
    """Tell whether a link's target lies outside; one above the top folder does."""
    normal = posixpath.normpath(path)
    return target.startswith("/") or normal == ".." or normal.startswith("../")


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
            _make_room(path, member.name)
            os.mkdir(path)
            unpacked.folders += 1
        os.chmod(path, (member.mode & 0o777) | 0o700)
        return
    _make_room(path, member.name)
    if member.issym():
        os.symlink(member.linkname, path)
    elif member.islnk():
        target = os.path.join(directory, posixpath.normpath(member.linkname))
        # Its folders may be links, of which only the whole tree tells where they lead.
        is_itself = os.path.realpath(target) == os.path.join(
            os.path.realpath(directory), posixpath.normpath(member.linkname)
        )
        if not is_itself or not os.path.isfile(target):
            raise ReleaseError(
                f"its member {member.name!r} is a hard link to {member.linkname!r}, "
                "which is no file in it"
            )
        os.link(target, path)
    else:
        _copy(archive, member, path, relative, unpacked)
    unpacked.files += 1


def _make_parents(directory: str, relative: str, name: str) -> int:
    """Make the folders above a member; a link among them could lead out.

    Returns how many were made.
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
            raise ReleaseError(
                f"its member {name!r} lies below something that is no folder"
            )
    return made


def _make_room(path: str, name: str) -> None:
    """Let a later member of the same name take the place of an earlier one."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise ReleaseError(f"its member {name!r} would replace a folder")
    os.unlink(path)


def _copy(
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
        left = member.size
        while left > 0:
            piece = source.read(min(_CHUNK_BYTES, left))
            if not piece:
                raise EOFError
            left -= len(piece)
            unpacked.size_bytes += len(piece)
            digest.update(piece)
            target.write(piece)
    os.utime(path, (member.mtime, member.mtime))
    unpacked.digests[relative] = digest.hexdigest()
