"""Answer what instances do with Unix-domain paths: bind, connect and unlink.

Rule 1: a path that an app serves on is its own until its last socket there is closed: what
its programs unlink stays, and is removed when gapless closes the socket.
Rule 2: to an instance that has not bound a path yet, nobody answers there: servers that
ask before they bind would not start beside another generation.
"""

from __future__ import annotations

import errno
import os
import re
import socket

from gapless.base import codec, wire
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.sockets.addresses import RefusedError, copy_of, inode_of
from gapless.supervisor.sockets.groups import Listener
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.unix import place
from gapless.supervisor.sockets.unix.acting import Identity, can_act_as

_MADE_UP = re.compile(r"(tmp|pymp-)[a-z0-9_]{8}")
"""A directory or a file that Python's tempfile has made up a name for."""
_CONTROL = re.compile(r"\.ctl$|ctl\.sock$|control")
_FIRST_PID = 300
"""In containers pids are small, and small numbers are in many names."""


class PathCalls:
    """Gives instances their sockets on paths."""

    def __init__(
        self, apps: Apps, keeper: KeeperConnection, listeners: Listeners
    ) -> None:
        self._apps, self._keeper, self._listeners = apps, keeper, listeners

    # --- bind -------------------------------------------------------------------------

    def bind(
        self,
        app: AppRecord,
        number: int,
        instance: InstanceRecord,
        message: wire.Message,
        sock: socket.socket,
    ) -> str | None:
        """Let an instance have the path, or the abstract name, that it wants to bind.

        *number* is the generation whose sockets it uses.  Returns "" if *sock* is bound
        now, the name of the socket to inject, or None if the kernel is to bind it.
        Raises RefusedError.
        """
        path = str(message["path"])
        if path.startswith("@"):
            _refuse_held_name(app.name, path, sock)
            instance.bound.add(f"unix:{path}")  # for the warning of a recycle
            return None
        who = codec.decode(Identity, message["identity"], "bind.identity")
        if is_for_itself(path, {int(message["pid"]), instance.pid}):
            return None
        if not can_act_as(who):
            return None
        group = f"unix:{path}"
        found = self._listeners.find(app.name, number, group)
        if found is None:
            self._settle_with_others(app.name, group)
            found = self._bind_new(app.name, number, path, sock, who)
        else:
            self._listeners.groups.restore(group)
        instance.bound.add(group)
        app.serves_on_path = True
        return "" if inode_of(found.sock) == inode_of(sock) else found.name

    def _settle_with_others(self, app: str, group: str) -> None:
        """Let a path go that another app had and this one has removed, or refuse it.

        Whoever binds a path last has it, and that was so before gapless put it back.
        Raises RefusedError.
        """
        groups = self._listeners.groups
        for each in self._listeners.by_name.values():
            if each.group != group or each.app == app:
                continue
            if each.listening and not groups.was_removed(group):
                raise RefusedError(
                    errno.EADDRINUSE, f"{app}: {group} belongs to the app {each.app}"
                )
            groups.hide(each)

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
            name=f"socket/{app}/{number}/{group}",
            app=app,
            generation=number,
            address=group,
            group=group,
            sock=copy_of(sock),
            place=bound,
        )
        self._listeners.add(listener)
        return listener

    # --- connect and unlink -----------------------------------------------------------

    def connect(self, message: wire.Message) -> None:
        """Refuse a connection by which a program asks whether somebody is there."""
        key, call, path = message["key"], message["id"], str(message["path"])
        found = self._apps.find(key)
        if found is not None:
            app, _, instance = found
            asks = f"unix:{path}" not in instance.bound
            if asks and self._names_of(app, path):
                self._keeper.answer(key, call, "fail", errno=errno.ECONNREFUSED)
                return
        self._keeper.answer(key, call, "proceed")

    def unlink(self, message: wire.Message) -> None:
        """Answer an unlink of a path that the app serves on, and leave the path."""
        key, call, path = message["key"], message["id"], str(message["path"])
        found = self._apps.find(key)
        if found is not None and self._names_of(found[0], path):
            self._keeper.answer(key, call, "done")
        else:
            self._keeper.answer(key, call, "proceed")

    def _names_of(self, app: AppRecord, path: str) -> bool:
        """Return whether a path is there, and names a socket of an app."""
        try:
            there = os.lstat(path)
        except OSError:
            return False
        own = (each.place for each in self._listeners.of_app(app.name))
        return any(each is not None and place.is_it(each, there) for each in own)


def is_for_itself(path: str, pids: set[int]) -> bool:
    """Return whether a process has made up a path for itself alone.

    It has the number of the process, or a name of Python's tempfile: no other process is
    to bind it, and no client knows it but by hearsay.  Or it is where this very process is
    told what to do, as gunicorn.ctl.
    """
    numbers = {int(each) for each in re.findall(r"\d{1,9}", path)}
    made_up = any(_MADE_UP.fullmatch(each) for each in path.split("/"))
    tells_it = _CONTROL.search(os.path.basename(path)) is not None
    return bool(numbers & {e for e in pids if e >= _FIRST_PID}) or made_up or tells_it


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
