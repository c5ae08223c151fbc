"""What the keeper reports, and which part takes it in.

Nothing is decided here: facts go into the records, and the plan reads them.
"""

from __future__ import annotations

import os

from gapless.base import clock, events, wire
from gapless.base.errors import UnavailableError
from gapless.supervisor.act.relays import Relays
from gapless.supervisor.adoption import Adoption
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.exits import Exits, describe_status
from gapless.supervisor.memory.keeper_connection import (
    KeeperConnection,
    KeeperLostError,
    close_all,
)
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.system_calls import SystemCalls

WELCOME_S = 10.0


class KeeperEvents:
    """Passes each event of the keeper to the part that takes it in."""

    def __init__(
        self,
        keeper: KeeperConnection,
        membership: Membership,
        *,
        adoption: Adoption,
        exits: Exits,
        relays: Relays,
        system_calls: SystemCalls,
        listeners: Listeners,
        drain_connections: DrainConnections,
        log: events.Log,
    ) -> None:
        self._keeper, self._membership = keeper, membership
        self._adoption, self._exits, self._relays = adoption, exits, relays
        self._system_calls, self._listeners = system_calls, listeners
        self._drain_connections, self._log = drain_connections, log

    def adopt_all(self) -> None:
        """Take over all that the keeper holds.

        Raises UnavailableError, KeeperLostError if it has just ended.
        """
        channel = self._keeper.channel
        channel.sock.settimeout(WELCOME_S)
        try:
            while not self._membership.keeper_pid:
                self._handle(*channel.receive())
        except EOFError as error:
            raise KeeperLostError("the keeper has just ended") from error
        except TimeoutError as error:
            raise UnavailableError(
                "the keeper does not answer", hint="is it stopped (SIGSTOP)?"
            ) from error
        finally:
            channel.sock.setblocking(False)
        self._adoption.complete()

    def receive(self) -> None:
        """Take in what the keeper has sent."""
        self._keeper.flush()
        for message, descriptors in self._keeper.events():
            self._handle(message, descriptors)

    def _handle(self, message: wire.Message, descriptors: list[int]) -> None:
        try:
            self._pass_on(message, descriptors)
        finally:
            close_all(descriptors)

    def _pass_on(self, message: wire.Message, descriptors: list[int]) -> None:
        match message["event"]:
            case "welcome":
                self._membership.keeper_pid = message["pid"]
                self._keeper.incarnation = message.get("incarnation", "")
            case "held":
                self._adoption.held(message, descriptors.pop(0))
            case "note":
                self._adoption.noted(message["name"], message["value"])
            case "spawned":
                self._spawned(message, descriptors)
            case "refused":
                reason = f"could not be started: {message['reason']}"
                self._exited(message["key"], reason, clock.monotonic(), None)
            case "ended":
                status = message["status"]
                code = os.waitstatus_to_exitcode(status)
                reason = describe_status(status)
                self._exited(message["key"], reason, message["at"], code)
            case "bind":
                self._system_calls.bind(message, descriptors)
            case "listen":
                self._system_calls.listen(message, descriptors)
            case "deaf":
                self._system_calls.refuse(message["key"], message["reason"])
            case "released":
                self._listeners.left(message["name"])
            case other:  # `misunderstood`, or from a keeper of another version
                self._log.write("keeper-event", kind=other, message=message)

    def _spawned(self, message: wire.Message, descriptors: list[int]) -> None:
        key, meta = message["key"], message["meta"]
        if meta and "relay" in meta:
            self._relays.started(key, *meta["relay"])
            return
        found = self._adoption.instance(key, message)
        if found is not None:
            _, _, instance = found
            instance.pid, instance.started = message["pid"], message["started"]
            if instance.pidfd >= 0:
                os.close(instance.pidfd)
            instance.pidfd = descriptors.pop(0)
            self._drain_connections.identify_all()

    def _exited(self, key: str, reason: str, at: float, code: int | None) -> None:
        if not self._relays.ended(key):
            self._exits.exited(key, reason, at, code)
