"""Take over what an earlier supervisor left with the keeper.

The keeper sends all that it holds; this file puts it back into the records and mends what
the earlier supervisor did not live to note.

Rule: facts come from the keeper, notes are hints.
- An instance in the notes that this keeper was given, and does not report, has ended: how
  is unknown.  It goes the way of every other end.
- A child without a record that is newer than the note was started after it: it gets its
  record.  An older one was recorded as ended before: what is left of it is ended, and it is
  forgotten.
- A child of an app of which the keeper has no note may have been given to it by a
  supervisor that died in the middle of that (`survivors`): the note on disk is asked first.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from gapless.base import clock, events, wire
from gapless.supervisor.act import takeovers as act_takeovers
from gapless.supervisor.act.relays import Relays
from gapless.supervisor.act.takeovers import Takeovers
from gapless.supervisor.instances import drain_connections
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.exits import UNSEEN, Exits, end_tree
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.memory import apps as memory_apps
from gapless.supervisor.memory.apps import Apps, Found
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Role
from gapless.supervisor.observe.instance_groups import InstanceGroups
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.survivors import Survivors


class Adoption:
    """Puts what the keeper holds back into the records."""

    def __init__(
        self,
        apps: Apps,
        keeper: KeeperConnection,
        listeners: Listeners,
        notify_sockets: NotifySockets,
        drain_connections: DrainConnections,
        *,
        exits: Exits,
        relays: Relays,
        takeovers: Takeovers,
        instance_groups: InstanceGroups,
        survivors: Survivors,
        log: events.Log,
    ) -> None:
        self._survivors = survivors
        self._apps, self._keeper, self._listeners = apps, keeper, listeners
        self._exits, self._notify_sockets = exits, notify_sockets
        self._drain_connections = drain_connections
        self._relays, self._log = relays, log
        self._takeovers = takeovers
        self._instance_groups = instance_groups
        self._group_notes: dict[str, Any] = {}
        self._reported: set[str] = set()
        """The keys of the children that the keeper has."""
        self._without_app: dict[str, tuple[int, int]] = {}
        """By key: the pid and a pidfd of children of apps that are not known yet."""
        self._held: set[str] = set()
        self._is_complete = False

    def held(self, message: wire.Message, descriptor: int) -> None:
        """Take over a descriptor that the keeper holds."""
        name = message["name"]
        if name in self._held or self._is_complete:
            os.close(descriptor)  # the keeper died, and the next one sends all again
            return
        self._held.add(name)
        if name.startswith("socket/"):
            self._listeners.adopt(name, message["meta"], descriptor)
        elif name == drain_connections.HELD_AS:
            self._drain_connections.adopt(socket.socket(fileno=descriptor))
        elif name == act_takeovers.HELD_AS:
            self._takeovers.adopt(socket.socket(fileno=descriptor))
        else:
            self._notify_sockets.adopt(name, descriptor)

    def noted(self, name: str, value: Any) -> None:
        """Take over a note that the keeper remembers.

        Without its note an app that serves would be ended: it is left alone.  One that
        comes later is older than what is known here.
        """
        kind, _, rest = name.partition("/")
        if self._is_complete:
            return
        if kind == "app":
            self._close_pidfds(rest)
            try:
                self._apps[rest] = memory_apps.read_note(value)
            except ValueError as error:
                self._apps.unread[rest] = str(error)
                self._log.write("note-unreadable", app=rest, reason=str(error))
        elif kind == "group":
            self._group_notes[rest] = value

    def _close_pidfds(self, name: str) -> None:
        """Close what a keeper announced that died in the middle of it."""
        before = self._apps.get(name)
        for instance in before.instances() if before is not None else ():
            if instance.pidfd >= 0:
                os.close(instance.pidfd)
                instance.pidfd = -1

    def complete(self) -> None:
        """Mend the records, once the keeper has sent everything."""
        self._is_complete = True
        self._group_notes = {**self._survivors.find(), **self._group_notes}
        self._reported |= self._survivors.taken
        for key, (pid, pidfd) in self._without_app.items():
            if self._apps.find(key) is None:
                self._end_unknown(key, pid, pidfd)
            if pidfd >= 0:
                os.close(pidfd)
        self._listeners.groups.adopt(self._group_notes)
        for app in self._apps.values():
            for generation in app.generations:
                for instance in generation.instances:
                    self._drain_connections.restore(instance.key, instance.mode)
                    self._end_if_gone(instance)
                generation.relayed = self._relays.is_running(app, generation)
        self._takeovers.complete()
        self._leave_unknown_sockets()
        self._limit_again()
        self._instance_groups.remove_unknown(
            {
                instance.cgroup
                for app in self._apps.values()
                for generation in app.generations
                for instance in generation.instances
            }
        )

    def _limit_again(self) -> None:
        """Limit the instances again: a unit takes the limits back when it restarts."""
        for app in self._apps.values():
            for generation in app.generations:
                for instance in generation.instances:
                    if instance.leader_alive:
                        instance.limits_trouble = self._instance_groups.limit(
                            instance.cgroup, generation.spec.limits
                        )

    def _end_if_gone(self, instance: InstanceRecord) -> None:
        """Record the end of an instance that this keeper was given, and has not."""
        if instance.key in self._reported:
            instance.incarnation = self._keeper.incarnation
            return
        # A note without an incarnation is of an older supervisor of this same keeper.
        given = instance.incarnation in ("", self._keeper.incarnation)
        if instance.leader_alive and given:
            self._log.write("ended-unseen", key=instance.key, pid=instance.pid)
            now = clock.monotonic()
            self._exits.exited(instance.key, UNSEEN, now, None)

    def _leave_unknown_sockets(self) -> None:
        for listener in list(self._listeners.by_name.values()):
            if listener.app in self._apps.unread:
                continue
            app = self._apps.get(listener.app)
            numbers = [g.sockets_of for g in app.generations] if app else []
            if listener.generation not in numbers:
                if app is not None:
                    newest = max(app.last_generation, listener.generation)
                    app.last_generation = newest
                self._listeners.leave(listener)
            elif listener.leaving:
                self._listeners.leave(listener)
        for app in self._apps.values():
            for generation in app.generations:
                using = [
                    each
                    for each in app.generations
                    if each.sockets_of == generation.sockets_of
                ]
                if any(each.quiesced for each in using):
                    continue
                self._listeners.reopen(app.name, generation.sockets_of)
                if generation.role in (Role.SERVING, Role.PROVING, Role.RECYCLING):
                    with contextlib.suppress(OSError):  # as when it listens late
                        self._listeners.groups.take_parts(
                            app.name, generation.sockets_of
                        )
        instances = (i for a in self._apps.values() for i in a.instances())
        left_alone = {key for key in self._reported if self._apps.is_unread(key)}
        known = {instance.key for instance in instances}
        self._notify_sockets.close_unknown(known | left_alone)

    def instance(
        self, key: str, message: wire.Message, descriptors: list[int]
    ) -> Found | None:
        """Return the record of an instance that was started; its pidfd is the first.

        One without a record gets it, or is ended: see the rule of this file.  What is used
        of *descriptors* leaves it.
        """
        if self._apps.is_unread(key):
            self._reported.add(key)
            return None
        if not self._is_complete and key.partition("/")[0] not in self._apps:
            if key not in self._without_app:  # a keeper that died has told it before
                self._without_app[key] = message["pid"], descriptors.pop(0)
            return None
        self._reported.add(key)
        found = self._apps.find(key) or self._new_record(key, message)
        if found is None:
            self._end_unknown(key, message["pid"], descriptors[0])
        return found

    def _end_unknown(self, key: str, pid: int, pidfd: int) -> None:
        self._log.write("unknown-instance", key=key, pid=pid)
        end_tree(pid, pidfd)

    def _new_record(self, key: str, message: wire.Message) -> Found | None:
        """Return a record for an instance that was started after the note, else None."""
        name, number, ordinal, serial = key.rsplit("/", 3)
        app = self._apps.get(name)
        if app is None or int(serial) <= app.last_serial:
            return None
        app.last_serial = int(serial)
        app.last_generation = max(app.last_generation, int(number))
        try:
            generation = app.generation(int(number))
        except LookupError:
            return None  # it was begun after the note; whoever asked for it asks again
        if int(ordinal) >= len(generation.seats):
            return None  # so was the seat
        instance = InstanceRecord(
            key=key,
            ordinal=int(ordinal),
            started=message["started"],
            cgroup=self._instance_groups.adopt(key),
            incarnation=self._keeper.incarnation,
            replaces=(message.get("meta") or {}).get("replaces", ""),
        )
        generation.instances.append(instance)
        return app, generation, instance
