"""Instances whose leader goes into the background: another process leads them.

The keeper is told which: its end is the instance's from then on.  A supervisor that dies in
between is followed by one that is told of the same end, and looks again.
"""

from __future__ import annotations

import os

from gapless.base import clock, events
from gapless.supervisor.decide import background
from gapless.supervisor.instances.exits import UNSEEN, Exits
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Phase, Role
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.listeners import Listeners


class Background:
    """Finds who leads an instance whose leader has ended with 0."""

    def __init__(
        self,
        apps: Apps,
        keeper: KeeperConnection,
        membership: Membership,
        listeners: Listeners,
        exits: Exits,
        *,
        log: events.Log,
    ) -> None:
        self._apps, self._keeper, self._membership = apps, keeper, membership
        self._listeners, self._exits, self._log = listeners, exits, log

    def exited(
        self, key: str, reason: str, at: float, code: int | None, *, left: bool
    ) -> None:
        """Note that a leader has ended; one that may have been followed is looked for.

        *left* says whether the keeper knows of processes that it has left behind.
        """
        found = self._apps.find(key)
        if found is not None:
            _, generation, instance = found
            instance.filter_in_use = left
            may_be = background.may_be_in_background
            if instance.leader_alive and may_be(instance, generation.role, code, at):
                if instance.pidfd >= 0:
                    os.close(instance.pidfd)
                    instance.pidfd = -1
                instance.detached_at, instance.detached_code = at, code
                if not instance.listens:  # it counted as ready for its age alone
                    instance.phase = Phase.STARTING  # its life counts if none follows
                return  # the loop looks at this app next
        self._exits.exited(key, reason, at, code)

    def emptied(self, key: str) -> None:
        """Note that no process is left of an instance."""
        found = self._apps.find(key)
        if found is not None:
            found[2].filter_in_use = False

    def refused(self, key: str) -> None:
        """Note that the keeper, of another version, follows nobody: it is a crash."""
        found = self._apps.find(key)
        if found is not None and found[2].background:
            self._exits.exited(key, UNSEEN, clock.monotonic(), None)

    def update(self, app: AppRecord, now: float) -> bool:
        """Look for the processes that lead; return whether to look again."""
        waiting = False
        for generation in app.generations:
            for instance in list(generation.instances):
                if instance.detached_at is not None:
                    waiting |= self._look(app, generation, instance, now)
        return waiting

    def _look(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        instance: InstanceRecord,
        now: float,
    ) -> bool:
        """Look for who leads an instance; return whether to look again."""
        at, code = instance.detached_at, instance.detached_code
        assert at is not None
        if instance.phase is Phase.DRAINING or generation.role is Role.RETIRING:
            self._crashed(instance, at, code)
            return False
        own = self._listeners.inodes(app.name, generation.sockets_of)
        found = self._membership.left_behind(instance, own)
        sockets = own | processes.listening_inodes() if found else own
        holders = {pid for pid in found if processes.socket_inodes((pid,)) & sockets}
        leader = background.find_leader(found, holders)
        if leader is not None and self._follow(app, instance, found[leader]):
            return False
        until = background.waits_until(instance, generation.spec.restart, at)
        none_left = not found and not instance.filter_in_use
        if none_left or (until is not None and now >= until):
            self._crashed(instance, at, code)
            return False
        return True

    def _crashed(self, instance: InstanceRecord, at: float, code: int | None) -> None:
        """Note that a leader has ended, and nobody leads in its place."""
        reason = UNSEEN if code is None else f"exited with code {code}"
        instance.detached_at = None
        self._exits.exited(instance.key, reason, at, code)

    def _follow(
        self, app: AppRecord, instance: InstanceRecord, leader: processes.Process
    ) -> bool:
        """Let a process lead an instance; return whether it is still there."""
        try:
            pidfd = os.pidfd_open(leader.pid)
        except ProcessLookupError:
            return False
        now = processes.read(leader.pid)
        if now is None or now.start_ticks != leader.start_ticks:
            os.close(pidfd)
            return False
        before = instance.pid
        self._membership.follow(instance, leader)
        if instance.pidfd >= 0:  # a keeper after the one that was told has announced it
            os.close(instance.pidfd)
        instance.pidfd, instance.detached_at = pidfd, None
        if instance.phase is Phase.STARTING:
            instance.ready_at = None
        self._keeper.follow(instance.key, leader.pid, pidfd)
        self._log.write(
            "in-background", key=instance.key, pid=leader.pid, before=before
        )
        if leader.pid != before:
            ordinal = instance.ordinal
            app.step("background", f"instance {ordinal}: pid {leader.pid} leads it")
        return True
