"""What the keeper and the instances tell, and what that changes in the records.

Nothing is decided here: facts are written down, and `plan` sees them.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from typing import TYPE_CHECKING, Any

from gapless.base import clock, wire
from gapless.base.errors import UnavailableError
from gapless.supervisor import processes, speakers
from gapless.supervisor.binding import Binding
from gapless.supervisor.counts import Counts
from gapless.supervisor.ends import Ends, describe_status, end_whole
from gapless.supervisor.hands import close_all
from gapless.supervisor.notify import Said
from gapless.supervisor.records import (
    AppRecord,
    GenerationRecord,
    InstanceRecord,
    find_instance,
)

if TYPE_CHECKING:
    from gapless.supervisor.loop import Supervisor

WELCOME_S = 10.0


class Hearing:
    """Writes down what is heard."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.keeper_pid = 0
        self._group_notes: dict[str, Any] = {}
        self._relays: dict[str, tuple[str, int]] = {}
        self._binding = Binding(supervisor)
        self.ends = Ends(supervisor)

    # --- the keeper -------------------------------------------------------------------

    def welcome(self) -> None:
        """Hear from the keeper all that it holds.  Raises UnavailableError."""
        channel = self._supervisor.hands.channel
        channel.sock.settimeout(WELCOME_S)
        try:
            while not self.keeper_pid:
                message, descriptors = channel.receive()
                self._hear(message, descriptors)
        except (EOFError, TimeoutError) as error:
            raise UnavailableError(
                "the keeper does not answer", hint="is it stopped (SIGSTOP)?"
            ) from error
        finally:
            channel.sock.setblocking(False)
        listeners = self._supervisor.listeners
        listeners.adopt_groups(self._group_notes)
        self._doubt_records()

    def keeper(self) -> None:
        """Hear what the keeper says now."""
        hands = self._supervisor.hands
        hands.flush()
        for message, descriptors in hands.events():
            self._hear(message, descriptors)

    def flush(self) -> None:
        """Wait for room in the keeper's socket too while something waits for it."""
        channel = self._supervisor.hands.channel
        events = selectors.EVENT_READ
        if not self._supervisor.hands.flush():
            events |= selectors.EVENT_WRITE
        key = self._supervisor.selector.get_map().get(channel.sock.fileno())
        if key is not None and key.events != events:
            self._supervisor.selector.modify(channel.sock, events, self.keeper)

    def _hear(self, message: wire.Message, descriptors: list[int]) -> None:
        try:
            self._note(message, descriptors)
        finally:
            close_all(descriptors)

    def _note(self, message: wire.Message, descriptors: list[int]) -> None:
        match message["event"]:
            case "welcome":
                self.keeper_pid = self._supervisor.evidence.keeper_pid = message["pid"]
            case "held":
                self._held(message, descriptors.pop(0))
            case "note":
                self._noted(message["name"], message["value"])
            case "spawned":
                self._spawned(message, descriptors)
            case "refused":
                why = f"could not be started: {message['reason']}"
                self._ended(message["key"], why, clock.monotonic(), None)
            case "ended":
                status = message["status"]
                why, code = describe_status(status), os.waitstatus_to_exitcode(status)
                self._ended(message["key"], why, message["at"], code)
            case "bind":
                self._binding.bind(message, descriptors)
            case "listen":
                self._binding.listen(message, descriptors)
            case "deaf":
                self._binding.complain(message["key"], message["reason"])
            case "released":
                self._supervisor.listeners.left(message["name"])
            case other:  # misunderstood, or from a keeper of another version
                self._supervisor.log.write("keeper-said", said=other, **message)

    # --- what a dead supervisor left ----------------------------------------------------

    def _held(self, message: wire.Message, descriptor: int) -> None:
        name = message["name"]
        if name.startswith("socket/"):
            self._supervisor.listeners.adopt(name, message["meta"], descriptor)
        elif name == speakers.HELD:
            self._supervisor.speakers.adopt(socket.socket(fileno=descriptor))
        else:
            self._supervisor.launcher.adopt(name, descriptor)

    def _noted(self, name: str, value: Any) -> None:
        kind, _, rest = name.partition("/")
        if kind == "app":
            self._supervisor.apps[rest] = AppRecord.read(value)
        elif kind == "group":
            self._group_notes[rest] = value

    def _doubt_records(self) -> None:
        """Mend what a supervisor did not live to write down.

        An instance that was asked for and that the keeper does not know never started.
        """
        for app in self._supervisor.apps.values():
            for generation in app.generations:
                for instance in list(generation.instances):
                    if not instance.pid:
                        generation.instances.remove(instance)
                    else:
                        self._supervisor.speakers.remember(instance.key, instance.mode)
                generation.rescued = any(
                    relay == (app.name, generation.number)
                    for relay in self._relays.values()
                )
        self._drop_unknown_sockets()

    def _drop_unknown_sockets(self) -> None:
        listeners = self._supervisor.listeners
        for listener in list(listeners.by_name.values()):
            app = self._supervisor.apps.get(listener.app)
            numbers = [g.lineage for g in app.generations] if app else []
            if listener.generation not in numbers:
                if app is not None:
                    app.last_generation = max(app.last_generation, listener.generation)
                listeners.leave(listener)

    # --- processes ----------------------------------------------------------------------

    def _spawned(self, message: wire.Message, descriptors: list[int]) -> None:
        key, meta = message["key"], message["meta"]
        if meta and "relay" in meta:
            name, number = meta["relay"]
            self._relays[key] = (name, number)
            return
        found = find_instance(self._supervisor.apps, key)
        if found is None:
            found = self._adopt_unknown(key, message)
        if found is None:
            # Its supervisor died before it had written down what this is for.
            self._supervisor.log.write("unknown", key=key, pid=message["pid"])
            end_whole(message["pid"])
            return
        _, _, instance = found
        instance.pid, instance.started = message["pid"], message["started"]
        instance.pidfd = descriptors.pop(0)
        self._supervisor.speakers.greet()

    def _adopt_unknown(
        self, key: str, message: wire.Message
    ) -> tuple[AppRecord, GenerationRecord, InstanceRecord] | None:
        """Make a record for an instance of which its supervisor left none."""
        name, number, ordinal, serial = key.rsplit("/", 3)
        app = self._supervisor.apps.get(name)
        if app is None:
            return None
        app.last_serial = max(app.last_serial, int(serial))
        app.last_generation = max(app.last_generation, int(number))
        try:
            generation = app.generation(int(number))
        except LookupError:
            return None
        instance = InstanceRecord(key=key, ordinal=int(ordinal), started=0.0)
        instance.started = message["started"]
        generation.instances.append(instance)
        return app, generation, instance

    def _ended(self, key: str, why: str, at: float, code: int | None) -> None:
        if key in self._relays:
            self._relay_ended(key)
        else:
            self.ends.ended(key, why, at, code)

    def _relay_ended(self, key: str) -> None:
        name, number = self._relays.pop(key)
        self._supervisor.hands.forget(key)
        app = self._supervisor.apps.get(name)
        if app is None or (name, number) in self._relays.values():
            return
        for generation in app.generations:
            if generation.number == number:
                generation.rescued = False

    # --- what instances say -------------------------------------------------------------

    def belongs(self, key: str, pid: int) -> bool:
        """Tell whether a process is one of an instance."""
        found = find_instance(self._supervisor.apps, key)
        if found is None:
            return False
        evidence = self._supervisor.evidence
        return pid in evidence.members(processes.snapshot(), found[2])

    def counted(self, key: str, total: Counts | None, ready: bool) -> None:
        """Write down what the processes of an instance count, and that one is ready."""
        found = find_instance(self._supervisor.apps, key)
        if found is not None:
            found[2].hear(total, clock.monotonic())
            found[2].said_ready |= ready

    def said(self, key: str, said: Said) -> None:
        """Write down what an instance said of itself."""
        found = find_instance(self._supervisor.apps, key)
        if found is None:
            return
        _, _, instance = found
        instance.said_ready |= said.ready
        if said.status:
            instance.status_text = said.status

    def signal_leaders(self, app: AppRecord, number: int) -> int:
        """Send a signal to the leader of every instance; return to how many."""
        sent = 0
        for generation in app.generations:
            for instance in generation.instances:
                if instance.pidfd >= 0:
                    try:
                        signal.pidfd_send_signal(instance.pidfd, number)
                    except ProcessLookupError:
                        continue
                    sent += 1
        return sent
