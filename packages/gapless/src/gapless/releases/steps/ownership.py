"""Whose a release's tree is: the build's while it builds, then the publisher's alone.

Rule 1: when the tree is taken back nothing of the build lives, and each name is opened or
changed relative to the descriptor of its directory, without following links.
Rule 2: a file is known by its inode, not by its name.  One with a name outside the tree (a
hard link to a cache, or to what is no business of the build), and one that a process still
has open for writing, is replaced by a copy: nobody has a descriptor of that.
Rule 3: what is not owned by the build's user was not made by it, and is refused, not read.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gapless.base.errors import ReleaseError
from gapless.base.outside import files as outside_files
from gapless.base.outside.text import printable
from gapless.keeper import identity
from gapless.releases.model import ReleaseSpec
from gapless.releases.steps import commands

MOST_LEVELS = 200
"""How deep directories may be; node_modules of node_modules come to about thirty."""
UNCHANGED = -1
"""The uid of an owner that is this process's user."""
_PASSABLE = 0o711
"""Others may go through the work directory to the tree, and see no names in it."""
_REFUSED_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | stat.S_IWGRP | stat.S_IWOTH
_ACCESS_LISTS = ("system.posix_acl_access", "system.posix_acl_default")
_PIECE_BYTES = 1 << 20
_MOST_TIMES = 16
"""A built tree may have so many times what a tarball may unpack to."""
_Inode = tuple[int, int]


def give(spec: ReleaseSpec, tree: str) -> int:
    """Make a tree that of the build's user; return its uid, or `UNCHANGED`.

    Nothing but gapless has written there yet.  Raises MisuseError, OSError.
    """
    user = commands.user_of(spec)
    if not user:
        return UNCHANGED
    who = identity.find(user, "")
    os.chmod(spec.work, stat.S_IMODE(os.stat(spec.work).st_mode) | _PASSABLE)

    def give_one(name: str, directory: int, _found: os.stat_result, _path: str) -> None:
        os.chown(name, who.uid, who.gid, dir_fd=directory, follow_symlinks=False)

    top = outside_files.open_directory(tree)
    try:
        _walk(spec, top, give_one)
        os.fchown(top, who.uid, who.gid)
    finally:
        os.close(top)
    return who.uid


def take_back(spec: ReleaseSpec, tree: str, owner: int) -> None:
    """Make a tree the publisher's, and let nobody else write there.

    *owner* is what `give` has returned.  Bits by which others may write or gain rights are
    removed from modes, and access lists.  Raises ReleaseError, OSError.
    """
    top = outside_files.open_directory(tree)
    try:
        taking = _Taking(spec=spec, owner=owner, top=top)
        _walk(spec, top, taking.count)
        taking.take_directory(top)  # nobody else changes names from here on
        _walk(spec, top, taking.take)
    finally:
        os.close(top)


_Visit = Callable[[str, int, os.stat_result, str], None]
"""Is called with a name, its directory's descriptor, what it is and its path."""


def _walk(
    spec: ReleaseSpec, directory: int, visit: _Visit, path: str = "", level: int = 1
) -> None:
    """Visit every name below a directory; a directory before what is in it."""
    if level > MOST_LEVELS:
        raise ReleaseError(
            f"{spec.app}: the build left more than {MOST_LEVELS} levels of directories"
        )
    for name in os.listdir(directory):
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        visit(name, directory, found, f"{path}{name}")
        if stat.S_ISDIR(found.st_mode):
            below = outside_files.open_directory(name, dir_fd=directory)
            try:
                _walk(spec, below, visit, f"{path}{name}/", level + 1)
            finally:
                os.close(below)


@dataclass(kw_only=True)
class _Taking:
    """The taking back of one tree."""

    spec: ReleaseSpec
    owner: int
    """The uid that everything has; nothing is checked if it is `UNCHANGED`."""
    top: int
    _names: Counter[_Inode] = field(default_factory=Counter)
    """How many names in the tree a file with several names has."""
    _taken: set[_Inode] = field(default_factory=set)
    _copied_bytes: int = 0
    _size_bytes: int = 0
    """Holes count: a file of 2^63 bytes takes no place, and for ever to be hashed."""
    _copies: dict[_Inode, str] = field(default_factory=dict)
    """By what a copy replaces: its path."""

    def count(
        self, name: str, directory: int, found: os.stat_result, path: str
    ) -> None:
        """Check the owner and size of a file, and count the names of one with several."""
        _ = name, directory
        self._check(found, path)
        if not stat.S_ISREG(found.st_mode):
            return
        self._size_bytes += found.st_size
        most_bytes = _MOST_TIMES * self.spec.limits.max_unpacked_bytes
        if self._size_bytes > most_bytes:
            raise ReleaseError(
                f"{self.spec.app}: the build left files of more than {most_bytes >> 20} "
                f"MB ({_MOST_TIMES} times limits.max_unpacked_mb): the last is "
                f"{printable(path)}"
            )
        if found.st_nlink > 1:
            self._names[found.st_dev, found.st_ino] += 1

    def take(self, name: str, directory: int, found: os.stat_result, path: str) -> None:
        """Make one name the publisher's."""
        self._check(found, path)
        if stat.S_ISDIR(found.st_mode):
            descriptor = outside_files.open_directory(name, dir_fd=directory)
            try:
                self.take_directory(descriptor)
            finally:
                os.close(descriptor)
        elif stat.S_ISREG(found.st_mode):
            if self.owner != UNCHANGED or _is_open_to_others(found):
                self._take_file(name, directory, path)
        elif stat.S_ISLNK(found.st_mode):
            if self.owner != UNCHANGED:
                os.chown(name, *_own(), dir_fd=directory, follow_symlinks=False)
        else:
            os.unlink(name, dir_fd=directory)  # a FIFO or socket is of no use to others

    def take_directory(self, descriptor: int) -> None:
        """Make a directory the publisher's."""
        if self.owner != UNCHANGED:
            os.fchown(descriptor, *_own())
        _drop_access_lists(descriptor)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.fchmod(descriptor, mode & ~_REFUSED_BITS | stat.S_IRWXU)

    def _take_file(self, name: str, directory: int, path: str) -> None:
        descriptor = outside_files.open_regular(name, dir_fd=directory)
        try:
            found = os.fstat(descriptor)
            self._check(found, path)
            inode = found.st_dev, found.st_ino
            is_inside = found.st_nlink == max(1, self._names[inode])
            if self.owner == UNCHANGED and not is_inside:
                self._replace(name, directory, descriptor, path)
                return
            if is_inside:
                if self.owner != UNCHANGED:
                    os.fchown(descriptor, *_own())
                    self._taken.add(inode)
                _drop_access_lists(descriptor)
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~_REFUSED_BITS)
                if self.owner == UNCHANGED or _nobody_writes(descriptor):
                    return
            self._replace(name, directory, descriptor, path)
        finally:
            os.close(descriptor)

    def _replace(self, name: str, directory: int, source: int, path: str) -> None:
        """Replace a file by a copy, which keeps as many of its names as were seen."""
        found = os.fstat(source)
        inode = found.st_dev, found.st_ino
        new = f".gapless-{os.urandom(8).hex()}"
        if copied := self._copies.get(inode):
            os.link(copied, new, src_dir_fd=self.top, dst_dir_fd=directory)
        else:
            how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(new, how, 0o600, dir_fd=directory)
            with os.fdopen(descriptor, "wb") as target:
                for piece in iter(lambda: os.read(source, _PIECE_BYTES), b""):
                    self._copied_bytes += len(piece)
                    if self._copied_bytes > self.spec.limits.max_unpacked_bytes:
                        raise self._too_large()
                    target.write(piece)
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~_REFUSED_BITS)
                times = (found.st_atime_ns, found.st_mtime_ns)
                target.flush()
                os.utime(descriptor, ns=times)
            if self._names[inode] > 1:
                self._copies[inode] = path
        os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)

    def _too_large(self) -> ReleaseError:
        return ReleaseError(
            f"{self.spec.app}: the build left more than "
            f"{self.spec.limits.max_unpacked_bytes >> 20} MB in files that have names "
            "elsewhere or are still written",
            hint="let it copy from its cache: UV_LINK_MODE=copy in build_environment",
        )

    def _check(self, found: os.stat_result, path: str) -> None:
        """Raise ReleaseError for what the build's user has not made."""
        inode = found.st_dev, found.st_ino
        if self.owner in (UNCHANGED, found.st_uid) or inode in self._taken:
            return
        raise ReleaseError(
            f"{self.spec.app}: the build left {printable(path)}, which belongs to the "
            f"user {found.st_uid} and not to {self.spec.build_user}"
        )


def _own() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


def _is_open_to_others(found: os.stat_result) -> bool:
    return bool(found.st_mode & _REFUSED_BITS)


def _drop_access_lists(descriptor: int) -> None:
    """Remove what may let other users write, beside the mode (acl(5))."""
    try:
        there = os.listxattr(descriptor)
    except OSError:
        return  # the file system has none
    for name in _ACCESS_LISTS:
        if name in there:
            os.removexattr(descriptor, name)


def _nobody_writes(descriptor: int) -> bool:
    """Return whether no process has the file open for writing, or mapped.

    The kernel gives a lease for reading only then (F_SETLEASE, fcntl(2)).  A descriptor on
    its way through a socket counts as well.
    """
    try:
        # Whoever opens it now would end this process with SIGIO; SIGURG is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False  # somebody may, or this file system gives no leases
    return True
