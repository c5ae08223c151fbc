"""Pack a directory below one top folder; the same directory gives the same bytes.

Times and modes are kept, owners are not.  Files that the release server would refuse are
refused here, before anything is sent.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from gapless.base.errors import MisuseError
from gapless.base.outside import files as outside_files
from gapless.push import secrets
from gapless.push.ignore_rules import DEFAULT, FILE, IgnoreRules

MOST_SECRETS = 20
"""Of the files that look like secrets so many are named."""
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

    With *everything* there are only lines that take something in.
    """
    try:
        with open(os.path.join(directory, FILE), encoding="utf-8") as file:
            lines = [*DEFAULT, FILE, *file]
    except FileNotFoundError:
        lines = [*DEFAULT]
    except UnicodeDecodeError as error:
        raise MisuseError(f"could not read {FILE}: {error}") from error
    if everything:
        lines = [line for line in lines if line.startswith("!")]
    return IgnoreRules(lines)


def pack(
    directory: str,
    top: str,
    target: IO[bytes],
    rules: IgnoreRules,
    *,
    with_secrets: bool = False,
) -> Packed:
    """Write a .tar.gz of *directory* to *target*; *top* is the name of its top folder.

    Raises MisuseError for what no release may hold, and for what looks like a secret, if
    not *with_secrets*; OSError for what cannot be read.
    """
    packed = Packed()
    root = os.path.realpath(directory)
    entries = list(_walk(root, "", rules, packed))
    if not with_secrets:
        _refuse_secrets(root, entries, rules)
    with (
        gzip.GzipFile("", "wb", 6, target, mtime=0) as compressed,
        tarfile.open(
            fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT
        ) as archive,
    ):
        for relative, found in entries:
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


def _refuse_secrets(
    root: str, entries: Sequence[tuple[str, os.stat_result]], rules: IgnoreRules
) -> None:
    """Refuse what looks like a secret and was not named.  Raises MisuseError."""
    found = []
    for relative, state in entries:
        if stat.S_ISREG(state.st_mode) and not rules.names(relative):
            reason = secrets.reason_by_name(relative)
            if not reason:
                path = os.path.join(root, relative)
                with open(outside_files.open_regular(path), "rb") as file:
                    head = file.read(secrets.HEAD_BYTES)
                reason = secrets.reason_by_content(relative, head)
            if reason:
                found.append(f"\n  {relative}: {reason}")
    if found:
        more = len(found) - MOST_SECRETS
        raise MisuseError(
            "nothing was packed: these files look like secrets:"
            f"{''.join(found[:MOST_SECRETS])}"
            + (f"\n  and {more} more" if more > 0 else ""),
            hint=f"a line NAME in {FILE} leaves a file out, a line !NAME takes it in; "
            "or --with-secrets for all of them this once",
        )


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
        with open(outside_files.open_regular(path), "rb") as file:
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
