"""Pack a directory below one top folder; the same directory gives the same bytes.

Times and modes are kept, owners are not.  Files that the release server would refuse are
refused here, before anything is sent.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from gapless.base.errors import MisuseError
from gapless.push.ignore_rules import DEFAULT, FILE, IgnoreRules

_KINDS = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


@dataclass(slots=True)
class Packed:
    """What is in a tarball, and what was left out."""

    files: int = 0
    size_bytes: int = 0
    left_out: list[str] = field(default_factory=list)
    """Paths for people: a folder ends in a slash, a reason may follow."""


def ignore_rules_of(directory: str, *, everything: bool) -> IgnoreRules:
    """Return the rules of a directory: the default ones, and those in its own file.

    With *everything* there are none.
    """
    if everything:
        return IgnoreRules(())
    try:
        with open(os.path.join(directory, FILE), encoding="utf-8") as file:
            return IgnoreRules([*DEFAULT, FILE, *file])
    except FileNotFoundError:
        return IgnoreRules(DEFAULT)


def pack(directory: str, top: str, target: IO[bytes], rules: IgnoreRules) -> Packed:
    """Write a .tar.gz of *directory* to *target*; *top* is the name of its top folder.

    Raises MisuseError for what no release may hold, OSError for what cannot be read.
    """
    packed = Packed()
    root = os.path.realpath(directory)
    with (
        gzip.GzipFile("", "wb", 6, target, mtime=0) as compressed,
        tarfile.open(
            fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT
        ) as archive,
    ):
        for relative, found in _walk(root, "", rules, packed):
            _add(archive, root, top, relative, found)
            packed.files += not stat.S_ISDIR(found.st_mode)
            packed.size_bytes += found.st_size if stat.S_ISREG(found.st_mode) else 0
    if not packed.files:
        left = f"; left out: {', '.join(packed.left_out)}" if packed.left_out else ""
        raise MisuseError(f"{directory} holds nothing to push{left}")
    return packed


def _walk(
    root: str, below: str, rules: IgnoreRules, packed: Packed
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each path that is packed, by name, a folder before the paths in it."""
    with os.scandir(os.path.join(root, below)) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        relative = os.path.join(below, name)
        found = os.lstat(os.path.join(root, relative))
        is_folder = stat.S_ISDIR(found.st_mode)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode))
        if rules.leaves_out(relative, is_folder=is_folder):
            packed.left_out.append(f"{relative}/" if is_folder else relative)
        elif kind is not None:
            packed.left_out.append(f"{relative} ({kind})")
        else:
            yield relative, found
            if is_folder:
                yield from _walk(root, relative, rules, packed)


def _add(
    archive: tarfile.TarFile, root: str, top: str, relative: str, found: os.stat_result
) -> None:
    path = os.path.join(root, relative)
    member = tarfile.TarInfo(f"{top}/{relative}")
    # The release server refuses set-id bits, and no app needs them.
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
    """Refuse a link that leads out of the directory, as the release server would."""
    leads_to = os.path.realpath(os.path.join(root, relative))
    inside = leads_to == root or leads_to.startswith(f"{root}/")
    if os.path.isabs(target) or not inside:
        raise MisuseError(
            f"{relative} is a link out of the directory, to {target}: "
            "the release server would refuse it",
            hint=f"a line {relative} in {FILE} leaves it out",
        )
