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
import socket
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gapless.supervisor.sockets.unix import binding, names
from gapless.supervisor.sockets.unix.acting import Identity, acting_as


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
    moves: bool = False
    """Whether a program is known to bind this path and to rename it then."""


def bind_first(sock: socket.socket, path: str, number: int, who: Identity) -> Place:
    """Bind a path that nobody of the app holds.  Raises OSError."""
    beside = _name_beside(path, number)
    with acting_as(who):
        bound = binding.bound_as(sock, path, beside)
        if not bound:
            binding.bind_over_dead(sock, path)
        found = os.lstat(bound or path)
        try:
            binding.remove_leftovers(path, kept=names.inode_of(found))
            binding.link(bound or path, beside if bound != beside else path)
        except OSError:
            beside = beside if bound == beside else ""
        return _place(path, beside, bound or path, who, was_at_path=bound != beside)


def bind_beside(
    sock: socket.socket, path: str, number: int, who: Identity, holder: Place | None
) -> Place:
    """Bind a name beside a path that *holder*, of an earlier generation, has.

    If the program renames what it binds there, it gets the path itself.  Raises OSError.
    """
    beside = _name_beside(path, number)
    with acting_as(who):
        bound = binding.bound_as(sock, path, beside)
        moves = bound == path or binding.moves(path)
        if not bound:
            binding.remove_leftover(beside)
            bound = path if moves else beside
            binding.bind(sock, bound)
        if moves:
            binding.link(path, beside)
        place = _place(path, beside, bound, who, was_at_path=moves)
    place.moves = moves
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


def are_moved(places: Collection[Place]) -> bool:
    """Return whether a program has renamed one of the sockets of a path.

    It binds another name and renames it over the one that clients know.  Then no socket is
    where it was bound, and one has a name that gapless has not given it.
    """
    return any(each.moves for each in places) or (
        not any(is_at_path(each) for each in places)
        and any(has_another_name(each) for each in places)
    )


def has_another_name(place: Place) -> bool:
    """Return whether a socket has a name beside the path and its own."""
    found = names.look(place.beside) if place.beside else None
    if found is None or not is_it(place, found):
        return False
    known = (place.path, place.beside, f"{place.beside}.new")
    there = (names.look(each) for each in known)
    return found.st_nlink > sum(e is not None and is_it(place, e) for e in there)


def is_it(place: Place, found: os.stat_result) -> bool:
    """Return whether a file is this socket."""
    return names.inode_of(found) == (place.device, place.inode)


def attributes_of(found: os.stat_result) -> Attributes:
    """Return mode and owner of a file."""
    mode = stat.S_IMODE(found.st_mode)
    return Attributes(mode=mode, uid=found.st_uid, gid=found.st_gid)


def _place(
    path: str, beside: str, bound: str, who: Identity, *, was_at_path: bool = False
) -> Place:
    found = os.lstat(bound)
    # Who may write to the directory may have put another file there meanwhile, by a hard
    # link (fs.protected_hardlinks may be off): it would get a socket's mode and owner.
    if not stat.S_ISSOCK(found.st_mode) or who.uid not in (0, found.st_uid):
        raise OSError(errno.ESTALE, "another file has taken its place", bound)
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
    return f"{path}{binding.OWN}{number}"


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
