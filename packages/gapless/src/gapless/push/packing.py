"""Pack a directory: one top folder, its name the app's, the same bytes each time.

Owners are not kept, times and modes are.  What the release server would refuse is refused
here, before anything is sent.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from gapless.base.errors import MisuseError
from gapless.push.ignore_rules import (
    DEFAULT,
    FILE,
    Ignoring,
)

_KINDS = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


@dataclass(slots=True)
class Packed:
    """What went into a tarball, and what did not."""

    files: int = 0
    size_bytes: int = 0
    left_out: list[str] = field(default_factory=list)
    """Paths as they are shown: a folder ends in a slash, a reason may follow."""


def ignoring(directory: str, *, everything: bool) -> Ignoring:
    """Return what a directory leaves out: the usual, and what its own file says."""
    if everything:
        return Ignoring(())
    try:
        with open(os.path.join(directory, FILE), encoding="utf-8") as file:
            return Ignoring([*DEFAULT, FILE, *file])
    except FileNotFoundError:
        return Ignoring(DEFAULT)


def pack(
    directory: str,
    top: str,
    target: IO[bytes],
    ignored: Ignoring,
    hear: Callable[[Packed], None] = lambda _: None,
) -> Packed:
    """Write a .tar.gz of *directory* to *target*; return what is in it.

    Raises MisuseError for what no release may hold, OSError for what cannot be read.
    """
    packed = Packed()
    root = os.path.realpath(directory)
    with (
        gzip.GzipFile("", "wb", 6, target, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for relative, found in _walk(root, "", ignored, packed):
            _add(archive, root, top, relative, found)
            packed.files += not stat.S_ISDIR(found.st_mode)
            packed.size_bytes += found.st_size if stat.S_ISREG(found.st_mode) else 0
            hear(packed)
    if not packed.files:
        left = f"; left out: {', '.join(packed.left_out)}" if packed.left_out else ""
        raise MisuseError(f"{directory} holds nothing to push{left}")
    return packed


def _walk(
    root: str, below: str, ignored: Ignoring, packed: Packed
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is kept, a folder before what is in it, by name."""
    with os.scandir(os.path.join(root, below)) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        relative = os.path.join(below, name)
        found = os.lstat(os.path.join(root, relative))
        is_folder = stat.S_ISDIR(found.st_mode)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode))
        if ignored.leaves_out(relative, is_folder=is_folder):
            packed.left_out.append(f"{relative}/" if is_folder else relative)
        elif kind is not None:
            packed.left_out.append(f"{relative} ({kind})")
        else:
            yield relative, found
            if is_folder:
                yield from _walk(root, relative, ignored, packed)


def _add(
    archive: tarfile.TarFile, root: str, top: str, relative: str, found: os.stat_result
) -> None:
    path = os.path.join(root, relative)
    member = tarfile.TarInfo(f"{top}/{relative}")
    # Set-id bits are refused by the release server, and mean nothing in an app.
    member.mode = stat.S_IMODE(found.st_mode) & 0o777
    member.mtime = int(found.st_mtime)
    if stat.S_ISLNK(found.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
        _refuse_escape(root, relative, member.linkname)
        archive.addfile(member)
    elif stat.S_ISDIR(found.st_mode):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    else:
        with open(path, "rb") as file:
            member.size = os.fstat(file.fileno()).st_size
            archive.addfile(member, file)


def _refuse_escape(root: str, relative: str, target: str) -> None:
    """Refuse a link that the release server would refuse: it could lead anywhere."""
    leads_to = os.path.realpath(os.path.join(root, relative))
    inside = leads_to == root or leads_to.startswith(f"{root}/")
    if os.path.isabs(target) or not inside:
        raise MisuseError(
            f"{relative} is a link out of the directory, to {target}: "
            "the release server would refuse it",
            hint=f"a line {relative} in {FILE} leaves it out",
        )
