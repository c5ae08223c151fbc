"""A Unix-domain socket in the file system: where it is, and what is done to its names.

Each socket has two names, which are hard links to one inode: the path, which only that of
the generation that takes connections has, and one of its own beside it, which it keeps for
as long as it is held.  So the switch is one rename of a new link over the path: a client
that connects finds the old socket or the new one, never none.  The way back is the same,
and so is what adoption does: whatever an earlier supervisor had done, the path is made to
name the socket that is to have it.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from dataclasses import dataclass

from gapless.supervisor.sockets.unix.acting import Identity, acting_as

LONGEST_BYTES = 107
"""struct sockaddr_un has 108, and a NUL ends the path."""
_ACL = "system.posix_acl_access"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Mode and owner of a path."""

    mode: int
    uid: int
    gid: int


@dataclass(slots=True, kw_only=True)
class Place:
    """The names of one socket."""

    path: str
    beside: str
    """The name that it keeps; empty where the file system has no hard links."""
    device: int
    inode: int
    who: Identity
    """As whom it was bound."""
    created: Attributes
    """What the path had when the program had bound it, and nothing else was done."""
    follows: bool = False
    """Whether the program leaves mode and owner as they come from bind: then those of the
    path are no wish of anybody's, and are not kept."""
    changed_ns: int = 0
    """When the mode or the owner of the path had changed last when this one was bound."""
    was_at_path: bool = False


def bind_first(sock: socket.socket, path: str, number: int, who: Identity) -> Place:
    """Bind a path that nobody of the app holds.  Raises OSError."""
    with acting_as(who):
        _bind(sock, path)
        beside = _name_beside(path, number)
        try:
            _remove_leftovers(path)
            os.link(path, beside, follow_symlinks=False)
        except OSError:
            beside = ""
        return _place(path, beside, path, who, was_at_path=True)


def bind_beside(
    sock: socket.socket, path: str, number: int, who: Identity, holder: Place | None
) -> Place:
    """Bind a name beside a path that *holder*, of an earlier generation, has.

    Raises OSError.
    """
    beside = _name_beside(path, number)
    with acting_as(who):
        _remove_leftover(beside)
        _bind(sock, beside)
        place = _place(path, beside, beside, who)
    found = _at(path)
    if found is not None and holder is not None and is_it(holder, found):
        place.follows = attributes_of(found) == holder.created
        place.changed_ns = found.st_ctime_ns
    return place


def put(place: Place) -> None:
    """Let a path name this socket, with the mode and the owner of the one before.

    Raises OSError.
    """
    found = _at(place.path)
    if found is not None and is_it(place, found):
        place.was_at_path = True
        return
    kept = _at(place.beside) if place.beside else None
    if kept is None or not is_it(place, kept):
        raise OSError(f"{place.path} was removed, and the socket has no other name")
    with acting_as(place.who):
        if found is not None and not place.was_at_path:
            untouched = found.st_ctime_ns == place.changed_ns
            if not (place.follows and untouched):
                _copy_attributes(place, found)
        fresh = f"{place.beside}.new"
        _remove_leftover(fresh)
        os.link(place.beside, fresh, follow_symlinks=False)
        try:
            os.rename(fresh, place.path)
        except OSError:
            os.unlink(fresh)
            raise
    place.was_at_path = True


def take_away(place: Place) -> None:
    """Remove a path, if it names this socket: nobody can connect any more."""
    _unlink_own(place, place.path)


def remove(place: Place) -> None:
    """Remove every name of a socket."""
    take_away(place)
    if place.beside:
        _unlink_own(place, place.beside)
        _unlink_own(place, f"{place.beside}.new")


def is_at_path(place: Place) -> bool:
    """Return whether the path names this socket now."""
    found = _at(place.path)
    return found is not None and is_it(place, found)


def is_it(place: Place, found: os.stat_result) -> bool:
    """Return whether a file is this socket."""
    return (found.st_dev, found.st_ino) == (place.device, place.inode)


def attributes_of(found: os.stat_result) -> Attributes:
    """Return mode and owner of a file."""
    mode = stat.S_IMODE(found.st_mode)
    return Attributes(mode=mode, uid=found.st_uid, gid=found.st_gid)


def _place(
    path: str, beside: str, bound: str, who: Identity, *, was_at_path: bool = False
) -> Place:
    found = os.lstat(bound)
    return Place(
        path=path,
        beside=beside,
        device=found.st_dev,
        inode=found.st_ino,
        who=who,
        created=attributes_of(found),
        was_at_path=was_at_path,
    )


def _name_beside(path: str, number: int) -> str:
    return f"{path}.gapless-{number}"


def _at(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _bind(sock: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= LONGEST_BYTES:
        sock.bind(path)
        return
    # Its program was near enough to give a shorter name.
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        sock.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)


def _remove_leftovers(path: str) -> None:
    """Remove the names that are left of generations of which no socket is left."""
    directory, base = os.path.split(path)
    ours = re.compile(re.escape(base) + r"\.gapless-\d+(\.new)?")
    for name in os.listdir(directory):
        if ours.fullmatch(name):
            _remove_leftover(os.path.join(directory, name))


def _remove_leftover(name: str) -> None:
    """Remove what an earlier supervisor left under a name that only gapless gives."""
    found = _at(name)
    if found is not None and stat.S_ISSOCK(found.st_mode):
        os.unlink(name)


def _copy_attributes(place: Place, found: os.stat_result) -> None:
    wanted = attributes_of(found)
    if (wanted.uid, wanted.gid) != (place.created.uid, place.created.gid):
        with contextlib.suppress(PermissionError):  # the program could not have either
            os.chown(place.beside, wanted.uid, wanted.gid, follow_symlinks=False)
    os.chmod(place.beside, wanted.mode)
    with contextlib.suppress(OSError):  # most paths have no list of rights
        rights = os.getxattr(place.path, _ACL, follow_symlinks=False)
        os.setxattr(place.beside, _ACL, rights, follow_symlinks=False)


def _unlink_own(place: Place, name: str) -> None:
    found = _at(name)
    if found is None or not is_it(place, found):
        return
    with contextlib.suppress(OSError), acting_as(place.who):
        os.unlink(name)
