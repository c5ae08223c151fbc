"""Asks the instances that serve whether they answer.

What follows from it is decided in `decide.liveness`.  Nothing here waits: connections are
made by the loop's selector.
"""

from __future__ import annotations

import selectors
import socket
from typing import TYPE_CHECKING

from gapless.base import events
from gapless.supervisor.kernel import waits
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Mode, Phase, Role
from gapless.supervisor.memory.spec import Asks
from gapless.supervisor.observe.evidence import Evidence
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.addresses import inode_of
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners

if TYPE_CHECKING:
    from gapless.supervisor.renewal.liveness_round import LivenessRound, Verdict

SUCCESSOR_S = 0.5
"""How often one is asked that has to prove itself, at most."""


class Liveness:
    """Checks every app that wants it, and notes what came of it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        apps: Apps,
        listeners: Listeners,
        evidence: Evidence,
        membership: Membership,
        *,
        log: events.Log,
    ) -> None:
        self._selector, self._apps, self._listeners = selector, apps, listeners
        self._evidence, self._membership, self._log = evidence, membership, log
        self._rounds: dict[str, list[LivenessRound]] = {}
        """By app: the checks that are under way, one for each address that is asked."""
        self._began: dict[str, float] = {}
        """When the last round began, by app."""

    def update(self, app: AppRecord, now: float, *, asks: bool) -> float | None:
        """Go on with the check of an app; return when to look again, None for never."""
        generation = app.in_role(Role.SERVING)
        wanted = generation is not None and generation.spec.alive.when is not Asks.NEVER
        if generation is None or not (wanted and app.running and asks):
            self.forget(app.name)
            return None
        if app.name not in self._rounds:
            pause_s = generation.spec.alive.every_s
            if any(not i.has_seat and not i.hung for i in generation.instances):
                pause_s = min(pause_s, SUCCESSOR_S)
            due = self._began.setdefault(app.name, now) + pause_s
            if now < due:
                return due
            self._began[app.name] = now
            if not self._begin(app, generation, now):
                return now + pause_s
        return self._go_on(app, generation, now)

    def forget(self, name: str) -> None:
        """Ask an app no more."""
        self._began.pop(name, None)
        for check in self._rounds.pop(name, ()):
            check.close()

    def _begin(self, app: AppRecord, generation: GenerationRecord, now: float) -> bool:
        """Begin a check; return whether there is somebody to ask, and a port for it."""
        by_socket: dict[str, dict[str, InstanceRecord]] = {}
        listeners = {each.name: each for each in self._tcp(app, generation)}
        for instance in filter(_serves, generation.instances):
            own = (
                name
                for name, each in listeners.items()
                if each.address in instance.listens
                and each.seat in (None, instance.ordinal)
            )
            if (name := next(own, None)) is not None:
                by_socket.setdefault(name, {})[instance.key] = instance
        if not by_socket:
            return False
        self._rounds[app.name] = [
            self._check(app, generation, listeners[name], asked, now)
            for name, asked in by_socket.items()
        ]
        return True

    def _check(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        listener: Listener,
        asked: dict[str, InstanceRecord],
        now: float,
    ) -> LivenessRound:
        """Return a check of the instances that accept from one socket."""
        inode = inode_of(listener.sock)

        # An app that asks for no check must not cost the memory of this module.
        from gapless.supervisor.renewal.liveness_round import LivenessRound  # noqa: PLC0415 - see above

        def waiting(key: str) -> bool | None:
            members = self._membership.members(asked[key])
            return waits.wait_for_connections(members, inode)

        def aim(host: str, port: int) -> None:
            if port:
                self._listeners.groups.attach_probe(listener, host, port)
            elif listener.name in self._listeners.by_name:
                self._listeners.groups.detach_probe(listener)

        return LivenessRound(
            self._selector,
            listener.sock,
            generation.spec.alive,
            set(asked),
            began=now,
            acceptor=lambda port, client: self._evidence.acceptor(app, port, client),
            waits=waiting,
            aim=None if listener.seat is None else aim,
            changed=lambda: self._apps.touch(app.name),
        )

    def _tcp(self, app: AppRecord, generation: GenerationRecord) -> list[Listener]:
        """Return the TCP sockets of a generation; each instance is asked at its first."""
        own = self._listeners.of(app.name, generation.sockets_of)
        inet = (socket.AF_INET, socket.AF_INET6)
        return [
            each
            for each in own
            if each.listening
            and each.sock.family in inet
            and each.sock.type == socket.SOCK_STREAM
        ]

    def _go_on(
        self, app: AppRecord, generation: GenerationRecord, now: float
    ) -> float | None:
        checks = self._rounds[app.name]
        found = [check.go_on(now) for check in checks]
        wakes = [wake_at for wake_at in found if wake_at is not None]
        if wakes:
            return min(wakes)
        del self._rounds[app.name]
        verdicts = {k: each for check in checks for k, each in check.verdicts.items()}
        for instance in generation.instances:
            if instance.key in verdicts and _serves(instance):
                self._note(generation, instance, verdicts[instance.key])
        self._apps.touch(app.name)
        return now

    def _note(
        self,
        generation: GenerationRecord,
        instance: InstanceRecord,
        verdict: Verdict,
    ) -> None:
        passed, answer = verdict
        if not passed:
            instance.alive_failures += 1
            instance.alive_answer = answer
            failures = instance.alive_failures
            self._log.write(
                "not-alive", key=instance.key, reason=answer, failures=failures
            )
            return
        if instance.alive_failures:
            self._log.write("alive-again", key=instance.key)
            if instance.has_seat:  # what was tried for it was not needed
                generation.seats[instance.ordinal].short_lives = 0
        instance.alive_failures, instance.alive_answer = 0, ""
        instance.proved_alive = True


def _serves(instance: InstanceRecord) -> bool:
    return (
        instance.phase is Phase.READY
        and instance.mode is Mode.SERVING
        and instance.leader_alive
        and instance.detached_at is None
        and instance.stop_sent_at is None
    )
