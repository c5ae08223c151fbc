"""Take over what an earlier supervisor left with the keeper.

The keeper sends all that it holds; this file puts it back into the records and mends what
the earlier supervisor did not live to note.
"""

from __future__ import annotations

import socket
from typing import Any

from gapless.base import events, wire
from gapless.supervisor.act.relays import Relays
from gapless.supervisor.instances import drain_connections
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.exits import end_tree
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.memory import apps as memory_apps
from gapless.supervisor.memory.apps import Apps, Found
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe.instance_groups import InstanceGroups
from gapless.supervisor.sockets.listeners import Listeners


class Adoption:
    """Puts what the keeper holds back into the records."""

    def __init__(
        self,
        apps: Apps,
        listeners: Listeners,
        notify_sockets: NotifySockets,
        drain_connections: DrainConnections,
        *,
        relays: Relays,
        instance_groups: InstanceGroups,
        log: events.Log,
    ) -> None:
        self._apps, self._listeners = apps, listeners
        self._notify_sockets = notify_sockets
        self._drain_connections = drain_connections
        self._relays, self._log = relays, log
        self._instance_groups = instance_groups
        self._group_notes: dict[str, Any] = {}

    def held(self, message: wire.Message, descriptor: int) -> None:
        """Take over a descriptor that the keeper holds."""
        name = message["name"]
        if name.startswith("socket/"):
            self._listeners.adopt(name, message["meta"], descriptor)
        elif name == drain_connections.HELD_AS:
            self._drain_connections.adopt(socket.socket(fileno=descriptor))
        else:
            self._notify_sockets.adopt(name, descriptor)

    def noted(self, name: str, value: Any) -> None:
        """Take over a note that the keeper remembers."""
        kind, _, rest = name.partition("/")
        if kind == "app":
            self._apps[rest] = memory_apps.read_note(value)
        elif kind == "group":
            self._group_notes[rest] = value

    def complete(self) -> None:
        """Mend the records, once the keeper has sent everything."""
        self._listeners.groups.adopt(self._group_notes)
        for app in self._apps.values():
            for generation in app.generations:
                for instance in list(generation.instances):
                    if not instance.pid:
                        # It was to be started, and the keeper does not know it.
                        generation.instances.remove(instance)
                    else:
                        self._drain_connections.restore(instance.key, instance.mode)
                generation.relayed = self._relays.is_running(app, generation)
        self._leave_unknown_sockets()
        self._instance_groups.remove_unknown(
            {
                instance.cgroup
                for app in self._apps.values()
                for generation in app.generations
                for instance in generation.instances
            }
        )

    def _leave_unknown_sockets(self) -> None:
        for listener in list(self._listeners.by_name.values()):
            app = self._apps.get(listener.app)
            numbers = [g.sockets_of for g in app.generations] if app else []
            if listener.generation not in numbers:
                if app is not None:
                    newest = max(app.last_generation, listener.generation)
                    app.last_generation = newest
                self._listeners.leave(listener)

    def instance(self, key: str, message: wire.Message, pidfd: int) -> Found | None:
        """Return the record of an instance that was started.

        One without a record gets it, unless its generation is unknown: then it is ended.
        """
        found = self._apps.find(key) or self._new_record(key, message)
        if found is None:
            # The supervisor that started it died before it had noted what for.
            self._log.write("unknown-instance", key=key, pid=message["pid"])
            end_tree(message["pid"], pidfd)
        return found

    def _new_record(self, key: str, message: wire.Message) -> Found | None:
        name, number, ordinal, serial = key.rsplit("/", 3)
        app = self._apps.get(name)
        if app is None:
            return None
        app.last_serial = max(app.last_serial, int(serial))
        app.last_generation = max(app.last_generation, int(number))
        try:
            generation = app.generation(int(number))
        except LookupError:
            return None
        instance = InstanceRecord(
            key=key,
            ordinal=int(ordinal),
            started=message["started"],
            cgroup=self._instance_groups.adopt(key),
        )
        generation.instances.append(instance)
        return app, generation, instance
