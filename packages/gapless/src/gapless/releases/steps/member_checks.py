"""What a tarball must not hold: members and links that leave the tree, or too much."""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile

from gapless.base.errors import ReleaseError
from gapless.releases.model import Limits


def check_member(
    tarball: str,
    member: tarfile.TarInfo,
    limits: Limits,
    *,
    size_bytes: int,
    count: int,
) -> None:
    """Check a member before it is unpacked.  Raises ReleaseError.

    *size_bytes* and *count* are those of what is unpacked already; folders count as well.
    """
    fault = _fault(member) or _excess(member, limits, size_bytes, count)
    if fault:
        raise ReleaseError(
            f"{tarball} was refused: its member {member.name!r} {fault}",
            hint="the limits stand in [release.NAME] limits"
            if "more than" in fault
            else "",
        )


def _fault(member: tarfile.TarInfo) -> str:
    """Return why no tarball may have such a member; empty if one may."""
    if member.name.startswith("/"):
        return "has an absolute path"
    if ".." in member.name.split("/"):
        return "climbs out with .."
    if "\0" in member.name or not posixpath.normpath(member.name):
        return "has no proper name"
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return "is a device or a pipe"
    if member.mode & (stat.S_ISUID | stat.S_ISGID) and not member.isdir():
        return "has a set-id bit"
    beside = posixpath.join(posixpath.dirname(member.name), member.linkname)
    if member.issym() and _escapes(beside, member.linkname):
        return f"is a link out of the tree: {member.linkname}"
    if member.islnk() and _escapes(member.linkname, member.linkname):
        return f"is a hard link out of the tree: {member.linkname}"
    return ""


def _excess(
    member: tarfile.TarInfo, limits: Limits, size_bytes: int, count: int
) -> str:
    """Return which limit the tarball exceeds with this member; empty if none."""
    if member.isreg() and size_bytes + member.size > limits.max_unpacked_bytes:
        limit = limits.max_unpacked_bytes >> 20
        return f"takes more than the {limit} MB that all files together may have"
    if count >= limits.max_files:
        return f"is one more than the {limits.max_files} files and folders that are allowed"
    return ""


def _escapes(path: str, target: str) -> bool:
    """Return whether a link leads out of the tree, or above its top folder."""
    normal = posixpath.normpath(path)
    return target.startswith("/") or normal == ".." or normal.startswith("../")


def check_links(tarball: str, directory: str) -> None:
    """Check every link of an unpacked tree.  Raises ReleaseError.

    A link may leave the tree by way of another link, which no single member shows.
    """
    root = os.path.realpath(directory)
    for folder, folders, plain in os.walk(directory):
        for entry in (*folders, *plain):
            path = os.path.join(folder, entry)
            target = os.path.realpath(path) if os.path.islink(path) else root
            if target != root and not target.startswith(f"{root}/"):
                shown = os.path.relpath(path, directory)
                raise ReleaseError(
                    f"{tarball} was refused: its member {shown!r} is a link out of the "
                    f"tree: {os.readlink(path)}"
                )
