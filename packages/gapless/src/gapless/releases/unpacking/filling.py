"""Read an archive to its end, and write what it holds below a directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from gapless.releases.model import Limits
from gapless.releases.unpacking import members, rules
from gapless.releases.unpacking.faults import RefusedError, shown
from gapless.releases.unpacking.members import Archive, Member
from gapless.releases.unpacking.streams import Read, Stream
from gapless.releases.unpacking.tree import Parts, Tree

_MOST_NAME_BYTES_EACH = 512
"""On average, of all members: what is known of every one is held in memory."""


def read(source: Read, limits: Limits) -> None:
    """Read an archive to its end.  Raises BrokenError, RefusedError, OSError."""
    for _ in _checked(Archive(Stream(source)), limits):
        pass


def fill(tree: Tree, source: Read, limits: Limits) -> None:
    """Write every member into a tree.  Raises BrokenError, RefusedError, OSError."""
    archive = Archive(Stream(source))
    for member, parts in _checked(archive, limits):
        if member.kind == members.FILE:
            tree.file(parts, member.mode, member.mtime, archive.pieces())
        elif member.kind == members.DIRECTORY:
            tree.folder(parts, member.mode)
        elif member.kind == members.LINK:
            tree.link(parts, member.target)
        else:
            tree.hard_link(parts, member.target)
    if not tree.files:
        raise RefusedError("it is empty: it holds no file")


def _checked(archive: Archive, limits: Limits) -> Iterator[tuple[Member, Parts]]:
    """Yield members, and the names on the way to them, as far as they are allowed."""
    size_bytes = name_bytes = count = 0
    most_name_bytes = _MOST_NAME_BYTES_EACH * (limits.max_files + 1)
    folders: set[Parts] = {()}
    for member in archive:
        parts = rules.parts_of(member, limits)
        size_bytes += member.size
        if size_bytes + archive.extended_bytes > limits.max_unpacked_bytes:
            raise RefusedError(
                f"its member {shown(member.name)} takes more than the "
                f"{limits.max_unpacked_bytes >> 20} MB that all files together may have"
            )
        count += 1
        folders.add(parts)
        above = parts[:-1]
        while above not in folders:  # those that have no member, or a later one
            folders.add(above)
            count += 1
            name_bytes += len(member.name)
            above = above[:-1]
        if count > limits.max_files:
            raise RefusedError(
                f"its member {shown(member.name)} is one more than the "
                f"{limits.max_files} files and folders that are allowed"
            )
        name_bytes += len(member.name) + len(member.target)
        if name_bytes > most_name_bytes:
            raise RefusedError(
                f"its members have names of more than {most_name_bytes >> 10} KB together"
            )
        yield member, parts


def top_of(directory: int | str) -> str:
    """Return the name of the one directory in a directory; empty if there is more, or none.

    An archive has one usually, and a release is what is in it.  Raises OSError.
    """
    with os.scandir(directory) as entries:
        found = [entry.name for entry, _ in zip(entries, range(2), strict=False)]
    if len(found) != 1:
        return ""
    is_descriptor = isinstance(directory, int)
    mode = os.stat(
        found[0] if is_descriptor else f"{directory}/{found[0]}",
        dir_fd=directory if isinstance(directory, int) else None,
        follow_symlinks=False,
    ).st_mode
    return found[0] if stat.S_ISDIR(mode) else ""


def strip_top(tree: Tree, top: str) -> None:
    """Name the files and links of a tree as they are below its top directory."""
    start = len(os.fsencode(top)) + 1
    tree.digests = {path[start:]: each for path, each in tree.digests.items()}
    tree.links = {path[start:]: each for path, each in tree.links.items()}
