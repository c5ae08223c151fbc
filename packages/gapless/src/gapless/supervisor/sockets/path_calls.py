"""Answer what instances do with Unix-domain paths: bind and unlink.

Rule: a path that an app serves on is its own until its last socket there is closed: what
its programs unlink stays, and is removed when gapless closes the socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket

from gapless.base import codec, wire
from gapless.supervisor.memory.apps import AppRecord, Apps, Found
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.sockets.addresses import (
    RefusedError,
    copy_of,
    inode_of,
    of_another_app,
)
from gapless.supervisor.sockets.first_binds import is_served
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.unix import place
from gapless.supervisor.sockets.unix.acting import Identity, can_act_as
from gapless.supervisor.sockets.unix.name_watch import NameWatch
from gapless.supervisor.sockets.unix.own_paths import (
    is_for_itself,
    is_in_drawn_directory,
)


class PathCalls:
    """Gives instances their sockets on paths."""

    def __init__(
        self, apps: Apps, keeper: KeeperConnection, listeners: Listeners
    ) -> None:
        self._apps, self._keeper, self._listeners = apps, keeper, listeners

    # --- bind -------------------------------------------------------------------------

    def bind(
        self, found: Found, message: wire.Message, sock: socket.socket
    ) -> str | None:
        """Let an instance have the path, or the abstract name, that it wants to bind.

        Returns "" if *sock* is bound now, the name of the socket to inject, or None if the
        kernel is to bind it.  Raises RefusedError.
        """
        app, generation, instance = found
        number, path = generation.sockets_of, str(message["path"])
        if path.startswith("@"):
            _refuse_held_name(app.name, path, sock)
            instance.has_bound(f"unix:{path}")  # for the warning of a recycle
            return None
        who = codec.decode(Identity, message["identity"], "bind.identity")
        if is_for_itself(path, {int(message["pid"]), instance.pid}):
            return None
        if not can_act_as(who):
            return None
        group = f"unix:{path}"
        held = self._listeners.find(app.name, number, group)
        if held is None:
            own = self._listeners.of(app.name, number)
            count = sum(each.place is not None for each in own)
            drawn = is_in_drawn_directory(path, instance.started)
            if not is_served(found, self._listeners, group, count=count, drawn=drawn):
                return None
            taken = self._take_from_others(app.name, group)
            try:
                held = self._bind_new(app.name, number, path, sock, who)
            except RefusedError:
                self._give_back(taken)
                raise
        else:
            self._listeners.groups.restore(group)
        instance.has_bound(group)
        app.serves_on_path = True
        return "" if inode_of(held.sock) == inode_of(sock) else held.name

    def _take_from_others(self, app: str, group: str) -> list[Listener]:
        """Let a path go that another app had and this one has removed, or refuse it.

        Whoever binds a path last has it, and that was so before gapless put it back.
        Returns which socket had the connections.  Raises RefusedError.
        """
        groups, taken = self._listeners.groups, []
        for each in self._listeners.by_name.values():
            if each.group != group or each.app == app or each.place is None:
                continue
            takes = each.listening and groups.takes_connections(each)
            if takes and not groups.was_removed(group):
                raise of_another_app(app, group, each.app)
            if takes:
                taken.append(each)
        for each in taken:
            groups.hide(each)
        return taken

    def _give_back(self, taken: list[Listener]) -> None:
        for each in taken:
            with contextlib.suppress(OSError):  # its directory is gone, perhaps
                self._listeners.groups.steer(each)

    def _bind_new(
        self, app: str, number: int, path: str, sock: socket.socket, who: Identity
    ) -> Listener:
        group = f"unix:{path}"
        own = [e for e in self._listeners.of_app(app) if e.group == group]
        holder = next((e.place for e in own if e.place and _is_there(e)), None)
        if any(e.place and not e.place.beside for e in own):
            raise RefusedError(
                errno.EADDRINUSE,
                f"{app}: {path} is on a file system without hard links, so it cannot be "
                f"handed over",
                "write `overlap = false`, or move the socket, for example to /run",
            )
        try:
            if own:
                bound = place.bind_beside(sock, path, number, who, holder)
            else:
                bound = place.bind_first(sock, path, number, who)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RefusedError(
                error.errno or errno.EINVAL,
                f"{app}: could not bind {path}: {reason}",
            ) from error
        listener = Listener(
            name=self._listeners.new_name(app, number, group, sock),
            app=app,
            generation=number,
            address=group,
            group=group,
            sock=copy_of(sock),
            place=bound,
        )
        self._listeners.add(listener)
        return listener

    # --- unlink -----------------------------------------------------------------------

    def unlink(self, message: wire.Message) -> None:
        """Answer an unlink of a path that the app serves on, and leave the path."""
        key, call, path = message["key"], message["id"], str(message["path"])
        found = self._apps.find(key)
        if found is not None and self.is_name_of(found[0], path):
            self._keeper.answer(key, call, "done")
        else:
            self._keeper.answer(key, call, "proceed")

    def is_name_of(self, app: AppRecord, path: str) -> bool:
        """Return whether a path is there, and names a socket of an app."""
        try:
            there = os.lstat(path)
        except OSError:
            return False
        own = (each.place for each in self._listeners.of_app(app.name))
        return any(each is not None and place.is_it(each, there) for each in own)


def watch_paths(selector: selectors.BaseSelector, listeners: Listeners) -> None:
    """Put a path back that is removed from under its socket, of those that are and come.

    A program removes it whose `unlink` does not wait for an answer: who started it did not
    know that it serves on a path.
    """
    watch = NameWatch(selector, lambda path: listeners.groups.restore(f"unix:{path}"))
    listeners.placed = watch.add
    for listener in listeners.by_name.values():
        if listener.place is not None:
            watch.add(listener.place)


def _is_there(listener: Listener) -> bool:
    return listener.place is not None and place.is_at_path(listener.place)


def _refuse_held_name(app: str, name: str, sock: socket.socket) -> None:
    """Refuse an abstract name that somebody has: it cannot be handed over.

    Raises RefusedError.
    """
    with socket.socket(socket.AF_UNIX, sock.type) as trial:
        try:
            trial.bind(b"\0" + os.fsencode(name[1:]))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return  # the kernel tells the program
            raise RefusedError(
                errno.EADDRINUSE,
                f"{app}: the abstract name {name} is in use, and abstract names cannot be "
                f"handed over, or shared by instances",
                "write `overlap = false` and one instance, or let it serve on a path",
            ) from error
