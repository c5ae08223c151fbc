"""Whether a directory is ours: nobody else chose what is in it, or may put another there.

Rule: the directory belongs to us, or to root, and only its owner may write to it.  Each
directory above it, and each link on the way, belongs to us or to root; others may write to
one only if it is sticky, as /tmp is: there they cannot take away what is not theirs.  It is
the rule of sshd's StrictModes, for every link on the way as well.

A group that has one member, the user, is the user (useradd(8) makes such groups, and shells
with them have the umask 002).
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gapless.base.errors import UnavailableError

MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_WHOLE_MAP = ["0", "0", "4294967295"]
"""/proc/self/uid_map where every user of the machine has a number."""
_OVERFLOW_UID = 65534
_ACL, _ACL_HEAD_BYTES = "system.posix_acl_access", 4
_ACL_ENTRY = struct.Struct("<HHI")
"""A tag, rights and the number of a user or group (linux/posix_acl_xattr.h)."""
_ACL_USER, _ACL_GROUP, _ACL_WRITE = 0x02, 0x08, 0x02


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a directory, and what to do."""

    reason: str
    remedy: str


def check(path: str, called: str = "GAPLESS_HOME") -> None:
    """Refuse a directory that somebody else may have filled, or may replace.

    Of one that is not there those above it are looked at.  *called* is what messages call
    it.  Raises UnavailableError.
    """
    found = fault(path)
    if found is not None:
        message = f"{called} {path} is not used: {found.reason}"
        raise UnavailableError(message, hint=found.remedy)


def fault(path: str) -> Fault | None:
    """Return what is wrong with a directory; None if it is ours, or not there."""
    real = os.path.realpath(path)
    try:
        for each, found in _way_to(os.path.abspath(path)):
            wrong = _wrong_with(each, found, is_last=each == real)
            if wrong is not None:
                return wrong
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Fault(f"{error.filename or path}: {reason}", "set another GAPLESS_HOME")
    return None


def _way_to(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every directory and link on the way to a path, as far as it is there.

    Raises OSError.
    """
    yield "/", os.lstat("/")
    rest, here, links = path.split("/")[::-1], "/", 0
    while rest:
        name = rest.pop()
        if name in ("", ".", ".."):
            here = os.path.dirname(here) if name == ".." else here
            continue
        whole = os.path.join(here, name)
        try:
            found = os.lstat(whole)
        except FileNotFoundError:
            return
        yield whole, found
        if not stat.S_ISLNK(found.st_mode):
            here = whole
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(whole)
        here = "/" if target.startswith("/") else here
        rest += target.split("/")[::-1]


def _wrong_with(path: str, found: os.stat_result, *, is_last: bool) -> Fault | None:
    us = os.geteuid()
    if found.st_uid not in (0, us) and not (not is_last and _is_unmapped(found.st_uid)):
        kind = "the link" if stat.S_ISLNK(found.st_mode) else "the directory"
        whose = f"belongs to {_user(found.st_uid)}, and you are {_user(us)}"
        remedy = (
            f"run the command as {_user(found.st_uid)}, or set GAPLESS_HOME to a "
            "directory of your own"
        )
        if not is_last:
            return Fault(f"{kind} {path} on the way to it {whose}", remedy)
        return Fault(
            f"it {whose}", f"{remedy}; if all in it is yours: chown -hR {us} {path}"
        )
    if stat.S_ISLNK(found.st_mode):
        return None
    if not stat.S_ISDIR(found.st_mode):
        return Fault(f"{path} is no directory", "set GAPLESS_HOME to a directory")
    written_by = _who_else_writes(path, found)
    if not written_by or (not is_last and found.st_mode & stat.S_ISVTX):
        return None
    return Fault(
        f"{written_by} may write to {'it' if is_last else f'{path}, which is above it'}",
        f"look whether all in it is yours, then: chmod go-w {path}",
    )


def _who_else_writes(path: str, found: os.stat_result) -> str:
    """Return which others than its owner may write to a directory; empty for nobody."""
    if found.st_mode & stat.S_IWOTH:
        return "every user"
    if not found.st_mode & stat.S_IWGRP:
        return ""
    if _is_written_by_list(path, found):
        return "who is in its access control list (getfacl)"
    if found.st_gid == 0:
        return ""  # who is in the group of root is root's choice
    return "" if _is_private_group(found) else f"the group {_group(found.st_gid)}"


def tighten(path: str) -> None:
    """Take the right to write to a directory of ours from its group.  Never raises."""
    try:
        found = os.stat(path)
        if found.st_uid == os.geteuid() and found.st_mode & _OTHERS_WRITE:
            os.chmod(path, stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
    except OSError:
        return  # a file system that is read-only


def _is_written_by_list(path: str, found: os.stat_result) -> bool:
    """Return whether a list of rights lets others write (acl(5)).

    The mode then shows the most that the list gives, in the place of the group's rights.
    """
    try:
        entries = os.getxattr(path, _ACL, follow_symlinks=False)[_ACL_HEAD_BYTES:]
    except OSError:
        return False  # most have none, and some file systems cannot have one
    return any(
        rights & _ACL_WRITE
        and (
            (tag == _ACL_USER and number not in (0, found.st_uid))
            or (tag == _ACL_GROUP and number not in (0, found.st_gid))
        )
        for tag, rights, number in _ACL_ENTRY.iter_unpack(entries)
    )


def _is_private_group(found: os.stat_result) -> bool:
    """Return whether a group has its owner's name, and no member but its owner."""
    import grp  # noqa: PLC0415 - rare
    import pwd  # noqa: PLC0415 - rare

    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {owner.pw_name}
    return alone and group.gr_name == owner.pw_name and owner.pw_gid == found.st_gid


def _is_unmapped(uid: int) -> bool:
    """Return whether a user is one of the machine, and of none in this container."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return uid == _OVERFLOW_UID and file.read().split() != _WHOLE_MAP
    except OSError:
        return False


def _user(uid: int) -> str:
    import pwd  # noqa: PLC0415 - only for messages

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _group(gid: int) -> str:
    import grp  # noqa: PLC0415 - only for messages

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
