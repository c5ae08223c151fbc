"""Who accepts connections from a socket that was handed to it (LISTEN_FDS, `{fd}`)."""

from __future__ import annotations

import os

from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.model import Phase
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.system_calls import note_listening


class Acceptors:
    """Finds out by epoll sets: such a program makes no call to `listen` to wait for."""

    def __init__(self, listeners: Listeners, membership: Membership) -> None:
        self._listeners, self._membership = listeners, membership

    def update(self, app: AppRecord, now: float) -> bool:
        """Update the records of instances that start; return whether to check again.

        A program that uses no epoll set counts once it has lived long enough.
        """
        waiting = False
        for generation in app.generations:
            if generation.spec.listen:
                waiting |= self._check(app, generation, now)
        return waiting

    def _check(self, app: AppRecord, generation: GenerationRecord, now: float) -> bool:
        handed, waiting = set(generation.spec.listen), False
        for instance in generation.instances:
            if instance.phase is not Phase.STARTING or not instance.pid:
                continue
            pids = self._membership.members(instance)
            old = now >= instance.started + generation.spec.restart.min_uptime_s
            for listener in self._listeners.of(app.name, generation.sockets_of):
                if listener.seat not in (None, instance.ordinal):
                    continue
                inode = os.fstat(listener.sock.fileno()).st_ino
                if old or processes.listens_by_epoll(pids, inode):
                    note_listening(generation, instance, listener)
            waiting |= not instance.listens >= handed
        return waiting
