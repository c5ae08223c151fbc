"""Change the names of a socket in a directory that others may write to.

Rule 1: what is done to a file is done by a descriptor of it, once it is known to be the
right one: whoever may write to the directory may put a symlink in its place at any time.
Rule 2: names come and go only where the program may make and remove some; a socket of ours
may belong to somebody else by now, whom an administrator gave it to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from gapless.supervisor.sockets.unix.acting import Identity, acting_as

Inode = tuple[int, int]
"""Device, and number on it."""
_ACL = "system.posix_acl_access"
_PERMISSIONS = 0o777
"""Neither set-user-ID nor its like: nobody needs them on a socket."""


def inode_of(found: os.stat_result) -> Inode:
    """Return which inode a file is."""
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def directory_of(path: str, who: Identity) -> Iterator[int]:
    """Open the directory of a path, in which *who* may make names.  Raises OSError."""
    with acting_as(who):
        directory = os.open(
            os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        )
        may = os.access(".", os.W_OK | os.X_OK, dir_fd=directory, effective_ids=True)
    try:
        if not may:
            raise PermissionError(
                errno.EACCES, os.strerror(errno.EACCES), os.path.dirname(path)
            )
        yield directory
    finally:
        os.close(directory)


@contextlib.contextmanager
def opened(name: str, inode: Inode, directory: int) -> Iterator[int]:
    """Open a socket without following a symlink.

    Raises OSError, with ESTALE if something else has its name.
    """
    descriptor = os.open(
        name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
    )
    try:
        if inode_of(os.fstat(descriptor)) != inode:
            raise OSError(errno.ESTALE, "another file has taken its place", name)
        yield descriptor
    finally:
        os.close(descriptor)


def link(descriptor: int, name: str, directory: int) -> None:
    """Give an open socket one more name.  Raises OSError.

    The kernel would not let the program itself, if the socket is not its own any more
    (fs.protected_hardlinks).
    """
    os.link(
        _by_descriptor(descriptor),
        name,
        src_dir_fd=descriptor,  # without it Python calls link(2), which does not follow
        dst_dir_fd=directory,
        follow_symlinks=True,
    )


def rename(fresh: str, name: str, directory: int, who: Identity, *, own: bool) -> None:
    """Put a name in the place of another one, which is *own* if it is a socket of ours.

    Raises OSError.
    """
    try:
        with acting_as(who):
            os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
    except PermissionError:
        # In a directory like /tmp, and the socket belongs to somebody else now.
        if not own:
            raise
        os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)


def unlink(name: str, inode: Inode, directory: int, who: Identity) -> None:
    """Remove a name, if it is one of a socket of ours.  Raises OSError."""
    found = look(name, directory)
    if found is None or inode_of(found) != inode:
        return
    try:
        with acting_as(who):
            os.unlink(name, dir_fd=directory)
    except PermissionError:
        os.unlink(name, dir_fd=directory)


def look(name: str, directory: int | None = None) -> os.stat_result | None:
    """Return what has a name, if anything."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None


def copy_attributes(source: int, target: int, *, chown: bool) -> None:
    """Give an open socket mode, owner and list of rights of another one.

    Raises OSError.
    """
    found, path = os.fstat(source), _by_descriptor(target)
    if chown:
        with contextlib.suppress(PermissionError):  # the program could not have either
            os.chown(path, found.st_uid, found.st_gid)
    os.chmod(path, stat.S_IMODE(found.st_mode) & _PERMISSIONS)
    with contextlib.suppress(OSError):  # most paths have no list of rights
        os.setxattr(path, _ACL, os.getxattr(_by_descriptor(source), _ACL))


def _by_descriptor(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
