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
import errno
import os
import re
import socket
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gapless.supervisor.sockets.unix import names
from gapless.supervisor.sockets.unix.acting import Identity, acting_as

LONGEST_BYTES = 107
"""struct sockaddr_un has 108, and a NUL ends the path."""


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
    found = names.look(path)
    if found is not None and holder is not None and is_it(holder, found):
        place.follows = attributes_of(found) == holder.created
        place.changed_ns = found.st_ctime_ns
    return place


def put(place: Place, others: Collection[Place] = ()) -> None:
    """Let a path name this socket.

    It gets the mode and the owner of the one of *others* that the path names.  What is no
    socket is left where it is.  Raises OSError.
    """
    base = os.path.basename(place.path)
    fresh = os.path.basename(f"{place.beside}.new")
    with names.directory_of(place.path, place.who) as directory:
        found = names.look(base, directory)
        if found is not None and is_it(place, found):
            place.was_at_path = True
            return
        if found is not None and not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.EEXIST, "something else has its name", place.path)
        own = found is not None and any(is_it(each, found) for each in others)
        with _own_name(place, directory) as socket_itself:
            if found is None:
                names.link(socket_itself, base, directory)
            else:
                if own and not place.was_at_path:
                    _copy_attributes(place, found, socket_itself, directory)
                names.unlink(fresh, (place.device, place.inode), directory, place.who)
                names.link(socket_itself, fresh, directory)
                try:
                    names.rename(fresh, base, directory, place.who, own=own)
                except OSError:
                    os.unlink(fresh, dir_fd=directory)
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
    found = names.look(place.path)
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
    found = names.look(name)
    if found is not None and stat.S_ISSOCK(found.st_mode):
        os.unlink(name)


@contextlib.contextmanager
def _own_name(place: Place, directory: int) -> Iterator[int]:
    """Open a socket by the name that it keeps.  Raises OSError."""
    name = os.path.basename(place.beside)
    if not name or names.look(name, directory) is None:
        raise OSError(
            errno.ENOENT, f"{place.path} was removed, and the socket has no other name"
        )
    with names.opened(name, (place.device, place.inode), directory) as descriptor:
        yield descriptor


def _copy_attributes(
    place: Place, found: os.stat_result, target: int, directory: int
) -> None:
    if place.follows and found.st_ctime_ns == place.changed_ns:
        return
    base = os.path.basename(place.path)
    owner = (place.created.uid, place.created.gid)
    with names.opened(base, names.inode_of(found), directory) as source:
        names.copy_attributes(
            source, target, chown=(found.st_uid, found.st_gid) != owner
        )


def _unlink_own(place: Place, path: str) -> None:
    name = os.path.basename(path)
    with (
        contextlib.suppress(OSError),
        names.directory_of(place.path, place.who) as directory,
    ):
        names.unlink(name, (place.device, place.inode), directory, place.who)
