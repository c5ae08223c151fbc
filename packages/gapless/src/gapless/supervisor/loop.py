"""The only loop: hear, observe, decide, act, remember.

Nothing here decides about apps; `decide.plan` does.  The loop wakes when a socket is ready,
when a process ends, or when the plan asked to be woken.  When nothing happens it sleeps.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable

from gapless.base import clock, events, wakeup
from gapless.base.errors import GaplessError
from gapless.supervisor.act import pid_files
from gapless.supervisor.act.performer import Performer
from gapless.supervisor.control.control_socket import ControlSocket
from gapless.supervisor.control.operations import Operations
from gapless.supervisor.decide import plan
from gapless.supervisor.decide.ending import CHECK_S
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.exits import Exits
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Desired
from gapless.supervisor.memory.notes import Notes
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.observe.acceptors import Acceptors
from gapless.supervisor.observe.evidence import Evidence
from gapless.supervisor.renewal.renewals import Renewals

MOST_ROUNDS = 50
"""A plan that asks for more rounds in one turn of the loop would never come to rest."""


class Loop:
    """Brings every app of this host to what was asked for."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        apps: Apps,
        host: HostRecord,
        *,
        keeper: KeeperConnection,
        receive: Callable[[], None],
        notes: Notes,
        state: StateFile,
        evidence: Evidence,
        acceptors: Acceptors,
        exits: Exits,
        performer: Performer,
        operations: Operations,
        renewals: Renewals,
        drain_connections: DrainConnections,
        log: events.Log,
    ) -> None:
        """Use *receive* to take in what the keeper has sent."""
        self._selector, self._apps, self._host = selector, apps, host
        self._keeper, self._receive = keeper, receive
        self._notes, self._state = notes, state
        self._evidence, self._acceptors, self._exits = evidence, acceptors, exits
        self._performer, self._operations = performer, operations
        self._renewals, self._drain_connections = renewals, drain_connections
        self._log = log
        self._wakes: dict[str, float] = {}
        """When to wake, by what for."""
        self.over = False

    def run(self, control: ControlSocket) -> None:
        """Run until `over` is set.  Raises KeeperLostError."""
        while not self.over:
            self.settle()
            control.flush()  # clients learn only what a next supervisor would know
            control.expire(clock.monotonic())
            self._wake_at("/control", control.wait_until())
            wakeup.call_ready(self._selector, self._timeout_s())

    def _timeout_s(self) -> float | None:
        if not self._wakes:
            return None
        return max(0.0, min(self._wakes.values()) - clock.monotonic())

    def _wake_at(self, name: str, at: float | None) -> None:
        if at is None:
            self._wakes.pop(name, None)
        else:
            self._wakes[name] = at

    # --- one turn ---------------------------------------------------------------------

    def settle(self) -> None:
        """Bring every app to rest for now, and remember what changed."""
        for app in list(self._apps.values()):
            self._renew(app)
            self._settle(app)
        self._drain_connections.expire(clock.monotonic())
        self._wake_at("", self._drain_connections.wait_until())
        if not any(app.generations for app in self._apps.values()):
            self._drain_connections.close()
            if self._host.shutting_down:
                self._keeper.end()
        self._keeper.let_go()  # every app has been noted as it is now
        self._keeper.flush_in(self._selector, self._receive)

    def _renew(self, app: AppRecord) -> None:
        """Begin what the clock, a change of files or a limit of memory asks for."""
        due = None if self._host.shutting_down else self._renewals.update(app)
        self._wake_at(f"{app.name}/renewal", due)

    def _settle(self, app: AppRecord) -> None:
        was_running = app.running
        self._evidence.update(app)
        self._exits.remove_ended(app)
        waiting = self._acceptors.update(app, clock.monotonic())
        waiting |= not self._plan_and_perform(app)
        if waiting:
            soon = clock.monotonic() + CHECK_S
            self._wakes[app.name] = min(soon, self._wakes.get(app.name, soon))
        pid_files.update(app, self._log)
        if app.running != was_running:
            self._state.save()
        if app.deleted and not app.generations and app.operation is None:
            self._forget(app)
        else:
            self._notes.write(app)

    def _plan_and_perform(self, app: AppRecord) -> bool:
        """Plan and act until nothing is left to do now; return whether that happened."""
        desired = Desired(
            running=app.running and not self._host.shutting_down,
            draining=self._host.draining,
            lead_s=self._host.lead_s,
        )
        for _ in range(MOST_ROUNDS):
            planned = plan.plan(desired, app.observed(clock.monotonic()))
            self._wake_at(app.name, planned.wake_at)
            for action in planned.actions:
                self._log.write("action", app=app.name, action=repr(action))
                try:
                    self._performer.perform(app, action)
                except GaplessError as error:
                    self._exits.start_failed(app, action, error.message)
                except OSError as error:
                    self._exits.start_failed(app, action, str(error))
            self._operations.update(app)
            if not planned.actions:
                return True
        self._log.write("plan-does-not-settle", app=app.name)
        return False

    def _forget(self, app: AppRecord) -> None:
        if app.last_report is not None:
            self._host.keep_outcome(app.last_report)
        del self._apps[app.name]
        self._state.save()
        self._renewals.forget(app.name)
        self._wake_at(app.name, None)
        self._wake_at(f"{app.name}/renewal", None)
        self._notes.remove(app.name)
