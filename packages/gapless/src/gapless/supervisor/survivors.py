"""Instances that outlived all of gapless: supervisor, keeper and guardian.

What is known of them is on disk (`memory.notes`), and is looked for in the kernel.

Rule 1: an instance is the process of that pid that started at that moment since that boot,
never that of a pid alone.
Rule 2: its sockets are those that any of its processes has: what binds may be a child of
the leader (`npm start`), and the leader of workers may have closed what they share.
Rule 3: what is found goes on serving, in its generation.  Nothing of it is ended or started
anew; what could not be had again is named in `list`.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from typing import Any

from gapless.base import events
from gapless.base.names import Home
from gapless.keeper.seccomp import caller
from gapless.supervisor.act import environment
from gapless.supervisor.act.log_settings import log_settings
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.notes import NoteFile, Notes
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.groups import later
from gapless.supervisor.sockets.listeners import Listeners

NO_INTERCEPTION = "what it binds anew fails (ENOSYS)"
NO_CONNECTIONS = (
    "its new connections fail (ENOSYS), since checks_port = true: reload it"
)
NO_CHANNEL = "process.send fails"


class Survivors:
    """Finds them, and gives them to a keeper that knows nothing of them."""

    def __init__(
        self,
        home: Home,
        apps: Apps,
        keeper: KeeperConnection,
        listeners: Listeners,
        membership: Membership,
        *,
        notes: Notes,
        log: events.Log,
    ) -> None:
        self._home, self._apps, self._keeper = home, apps, keeper
        self._listeners, self._membership = listeners, membership
        self._notes, self._log = notes, log
        self.taken: set[str] = set()
        """The keys of the instances that the keeper was given."""

    def find(self) -> dict[str, Any]:
        """Take over what lives of apps of which the keeper has no note.

        Returns the notes of their groups of sockets.
        """
        groups: dict[str, Any] = {}
        for file in self._notes.read_files():
            known = file.app.name in self._apps
            if known or file.incarnation == self._keeper.incarnation:
                continue
            if not file.boot or file.boot != self._notes.boot:
                continue  # a pid of before is another's now, or nobody's
            found = {i.key: i for i in file.app.instances() if _lives(i)}
            if found:
                later(groups, self._take_over(file, found))
        return groups

    def _take_over(
        self, file: NoteFile, found: dict[str, InstanceRecord]
    ) -> dict[str, Any]:
        app = self._apps[file.app.name] = file.app
        pids = [instance.pid for instance in found.values()]
        lacking = self._take_sockets(file, list(found.values()))
        for generation in app.generations:
            for instance in generation.instances:
                # One that does not live has ended, and this keeper will not report it.
                instance.incarnation = self._keeper.incarnation
                if instance.key in found:
                    self._take(app, generation, instance)
                    instance.missing = _missing(generation, lacking)
        self._log.write("survivors", app=app.name, pids=pids, lacking=lacking)
        return file.groups

    def _take_sockets(self, file: NoteFile, found: list[InstanceRecord]) -> list[str]:
        """Have the sockets of an app again; return the addresses of which that failed."""
        places = self._places(found)
        lacking = []
        for name, meta in file.sockets.items():
            if name in self._listeners.by_name:
                continue  # the keeper was given it before
            inode = int(meta["inode"])
            descriptor, reason = _duplicate(places.get(inode, ()), inode)
            if descriptor >= 0:
                self._listeners.adopt(name, meta, descriptor)
                self._keeper.hold(name, meta, descriptor)
            elif reason or processes.is_open(inode):
                reason = reason or "none of its processes has it, and it is open"
                lacking.append(f"{meta['address']}: {reason}")
        return lacking

    def _places(self, found: list[InstanceRecord]) -> dict[int, list[tuple[int, int]]]:
        """Return by its inode which processes have a socket, and by which number."""
        places: dict[int, list[tuple[int, int]]] = {}
        for instance in found:
            for pid in self._membership.members(instance):
                for number, inode in processes.open_sockets(pid):
                    places.setdefault(inode, []).append((pid, int(number)))
        return places

    def _take(
        self, app: AppRecord, generation: GenerationRecord, instance: InstanceRecord
    ) -> None:
        """Let the keeper have an instance: the process, and the pipes to its logs."""
        ends: dict[str, int] = {}
        with contextlib.ExitStack() as stack:
            for name, number in (("output", 1), ("error", 2)):
                end = _read_end(instance, number)
                if end is not None:
                    stack.callback(os.close, end)
                    ends[name] = end
            try:
                pidfd = os.pidfd_open(instance.pid)
            except ProcessLookupError:
                return  # it has ended now: as if it had before
            stack.callback(os.close, pidfd)
            if not _lives(instance):
                return
            log = log_settings(
                generation.spec,
                self._home.app_log(app.name),
                generation=generation.number,
                ordinal=instance.ordinal,
                identity=app.ids[instance.ordinal],
            )
            message = {
                "key": instance.key,
                "meta": {"replaces": instance.replaces} if instance.replaces else None,
                "pid": instance.pid,
                "started": instance.started,
                "pipes": sorted(instance.pipes),
                "streams": list(ends),
                "log": log,
            }
            self._keeper.take(message, pidfd, *ends.values())
        self.taken.add(instance.key)


def _lives(instance: InstanceRecord) -> bool:
    """Return whether the very process that leads an instance is there."""
    found = processes.read(instance.pid) if instance.pid else None
    return (
        found is not None
        and instance.leader_alive
        and found.state != "Z"
        and instance.leader_ticks == found.start_ticks
    )


def _duplicate(places: Iterable[tuple[int, int]], inode: int) -> tuple[int, str]:
    """Return a duplicate of a socket from one of its places; -1 and why there is none."""
    reason = ""
    for place in places:
        try:
            descriptor = caller.duplicate(*place)
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        if os.fstat(descriptor).st_ino == inode:
            return descriptor, ""
        os.close(descriptor)  # the number was used again meanwhile
    return -1, reason


def _read_end(instance: InstanceRecord, number: int) -> int | None:
    """Return a read end of the pipe that an instance prints to, if it still does."""
    path = f"/proc/{instance.pid}/fd/{number}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if not stat.S_ISFIFO(found.st_mode) or found.st_ino not in instance.pipes:
        os.close(descriptor)
        return None
    return descriptor


def _missing(generation: GenerationRecord, lacking: list[str]) -> str:
    """Return what could not be had again of an instance."""
    missing = []
    if generation.spec.interception:
        missing.append(NO_INTERCEPTION)
        if generation.spec.checks_port:
            missing.append(NO_CONNECTIONS)
    if environment.channel_variables(generation.spec):
        missing.append(NO_CHANNEL)
    if lacking:
        missing.append(f"its sockets could not be had: {', '.join(lacking)}")
    return ", ".join(missing)
