"""The only loop: hear, observe, decide, act, remember.

Nothing here decides about apps; `decide.plan` does.  The loop wakes when a socket is ready,
when a process ends, or when the plan asked to be woken.  When nothing happens it sleeps.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import Protocol

from gapless.base import clock, descriptors, events, wakeup
from gapless.base.errors import GaplessError
from gapless.base.outside import faults
from gapless.supervisor.act import pid_files
from gapless.supervisor.act.performer import Performer
from gapless.supervisor.act.start_limit import StartLimit
from gapless.supervisor.act.takeovers import Takeovers
from gapless.supervisor.control import alarms, reports
from gapless.supervisor.control.control_socket import ControlSocket
from gapless.supervisor.control.new_generations import NewGenerations
from gapless.supervisor.control.operations import Operations
from gapless.supervisor.control.status import status
from gapless.supervisor.decide import plan
from gapless.supervisor.decide.actions import Kill, Replace, Retire, SendStop
from gapless.supervisor.decide.ending import CHECK_S
from gapless.supervisor.instances.background import Background
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.exits import Exits
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.keeper_connection import (
    KeeperConnection,
    KeeperLostError,
)
from gapless.supervisor.memory.model import Desired, Role
from gapless.supervisor.memory.notes import Notes
from gapless.supervisor.memory.state import HostRecord, StateFile
from gapless.supervisor.observe.acceptors import Acceptors
from gapless.supervisor.observe.app_order import CHECK_S as ORDER_CHECK_S
from gapless.supervisor.observe.app_order import AppOrder
from gapless.supervisor.observe.evidence import WATCH_S, Evidence
from gapless.supervisor.observe.variables.file_variables import StillReadsError
from gapless.supervisor.renewal.liveness import Liveness
from gapless.supervisor.renewal.renewals import Renewals
from gapless.supervisor.timers import Timers
from gapless.supervisor.unit import Unit

FAULT_PAUSE_S = 1.0
"""After how long an app is looked at again whose turn raised."""
BACKGROUND_S = 0.1
"""How often it is looked whether a process listens that a leader has left behind."""
FILES_S = 0.1
"""How often it is looked whether environment files that are read slowly are there."""
MOST_ROUNDS = 50
"""A plan that asks for more rounds in one turn of the loop would never come to rest."""


class Timed(Protocol):
    """What ends something of its own when its time has come."""

    def expire(self, now: float) -> None:
        """End what has lasted too long."""

    def wait_until(self) -> float | None:
        """Return when `expire` has something to do; None if nothing waits."""


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
        background: Background,
        performer: Performer,
        takeovers: Takeovers,
        new_generations: NewGenerations,
        app_order: AppOrder,
        operations: Operations,
        renewals: Renewals,
        liveness: Liveness,
        drain_connections: DrainConnections,
        unit: Unit,
        log: events.Log,
    ) -> None:
        """Use *receive* to take in what the keeper has sent."""
        self._selector, self._apps, self._host = selector, apps, host
        self._keeper, self._receive = keeper, receive
        self._notes, self._state = notes, state
        self._evidence, self._acceptors, self._exits = evidence, acceptors, exits
        self._background = background
        self._performer, self._operations = performer, operations
        self._takeovers = takeovers
        self._new_generations, self._app_order = new_generations, app_order
        self._liveness = liveness
        self._renewals, self._drain_connections = renewals, drain_connections
        self._unit, self._log = unit, log
        self._timers = Timers()
        """When to look at an app again, by its name, and for a renewal."""
        self._starts = StartLimit()
        self._host_was = self._wishes()
        self.over = False

    def run(self, control: ControlSocket, upgrades: Timed) -> None:
        """Run until `over` is set.  Raises KeeperLostError."""
        while not self.over:
            self.settle()
            control.flush()  # clients learn only what a next supervisor would know
            now = clock.monotonic()
            control.expire(now)
            self._timers.set("/control", control.wait_until())
            self._unit.keep_up(now)
            self._timers.set("/unit", self._unit.wait_until())
            upgrades.expire(now)
            self._timers.set("/upgrade", upgrades.wait_until())
            wakeup.call_ready(self._selector, self._timeout_s(), self._failed)
            descriptors.refill()

    def _failed(self, error: Exception) -> None:
        """Write down what a callback raised, and go on.  Raises KeeperLostError."""
        if isinstance(error, KeeperLostError):
            raise error
        self._log.write("callback-failed", reason=faults.traceback_of(error))

    def _timeout_s(self) -> float | None:
        if self._apps.touched:
            return 0.0
        found = (self._timers.next(), self._drain_connections.wait_until())
        known = [at for at in found if at is not None]
        return max(0.0, min(known) - clock.monotonic()) if known else None

    # --- one turn ---------------------------------------------------------------------

    def settle(self) -> None:
        """Bring every app that was touched to rest for now, and remember what changed."""
        self._touch()
        self._state.look_again(self._apps.touched)
        self._state.flush()  # nothing acts on what was asked for before that is on disk
        self._evidence.begin_turn()
        settled = [self._apps[name] for name in self._apps.touched]
        for app in settled:
            self._guard(app, self._renew)
            self._guard(app, self._settle)
        self._resume_missing(settled)
        self._evidence.end_turn()
        names = [app.name for app in settled]
        self._state.look_again(names)  # the end of one that is forgotten writes it all
        for app in settled:
            self._guard(app, self._remember)
        self._state.look_again(names)
        self._state.flush()
        now = clock.monotonic()
        self._timers.set("/state", self._state.write_until())
        self._apps.touch(*self._starts.whose_turn(now))
        self._timers.set("/starts", self._starts.wait_until(now))
        self._notes.write_files(now)
        self._timers.set("/notes", self._notes.write_until())
        self._drain_connections.expire(now)
        if not any(app.generations for app in self._apps.values()):
            self._drain_connections.close()
            if self._host.shutting_down:
                self._takeovers.close()
                self._keeper.end()
        self._takeovers.flush()
        self._keeper.let_go()  # every app has been noted as it is now
        self._keeper.flush_in(self._selector, self._receive)

    def _guard(self, app: AppRecord, step: Callable[[AppRecord], None]) -> None:
        """Take one step of an app's turn; a fault in it hurts this app alone."""
        try:
            step(app)
        except KeeperLostError:
            raise
        except Exception as error:  # noqa: BLE001 - one fault hurts one app
            self._turn_failed(app, error)

    def _turn_failed(self, app: AppRecord, error: Exception) -> None:
        """End operation and trial of an app whose turn raised; the others go on."""
        reason = faults.traceback_of(error)
        self._log.write("turn-failed", app=app.name, reason=reason)
        app.warning = f"an internal error: {type(error).__name__}: {error}"
        self._end_trial(app, app.warning)
        if app.operation is not None:
            app.operation.failure = app.operation.failure or app.warning
            app.last_report = reports.end(app.operation, app.totals)
            app.operation = None
            self._state.save()
        self._apps.touched.pop(app.name, None)
        self._starts.forget(app.name)  # its turn would come again and again
        self._timers.set(app.name, clock.monotonic() + FAULT_PAUSE_S)

    def _end_trial(self, app: AppRecord, reason: str) -> None:
        """Let a generation on trial retire: nobody knows whether it would come up."""
        trial = app.in_role(Role.TRIAL)
        if trial is None:
            return
        try:
            self._performer.perform(app, Retire(trial.number, reason))
        except KeeperLostError:
            raise
        except Exception as error:  # noqa: BLE001 - what raised may be needed for this
            reason = faults.traceback_of(error)
            self._log.write("turn-failed", app=app.name, reason=reason)

    def _touch(self) -> None:
        """Touch the apps whose time has come; all of them if the host's wishes changed."""
        if self._wishes() != self._host_was:
            self._host_was = self._wishes()
            self._apps.touch(*self._apps)
        due = self._timers.take_due(clock.monotonic())
        self._apps.touch(*(name.partition("/")[0] for name in due))

    def _wishes(self) -> tuple[object, ...]:
        """Return what was asked of the host that the plan of each app reads."""
        return self._host.draining, self._host.lead_s, self._host.shutting_down

    def _renew(self, app: AppRecord) -> None:
        """Begin what the clock, a change of files or a limit asks for; ask who lives."""
        leaves = self._host.shutting_down
        due = None if leaves else self._renewals.update(app)
        self._timers.set(f"{app.name}/renewal", due)
        serves = not (leaves or self._host.draining)
        due = self._liveness.update(app, clock.monotonic(), asks=serves)
        self._timers.set(f"{app.name}/liveness", due)

    def _settle(self, app: AppRecord) -> None:
        asked = app.running, app.spec
        self._evidence.update(app)
        detached = self._background.update(app, clock.monotonic())
        self._exits.remove_ended(app)
        self._takeovers.update(app)
        self._app_order.update(app)
        self._new_generations.read_on(app)
        waiting = self._acceptors.update(app, clock.monotonic())
        waiting |= self._performer.keep_up(app, clock.monotonic())
        waiting |= not self._plan_and_perform(app)
        if self._app_order.waits_for(app):
            self._timers.set_earlier(app.name, clock.monotonic() + ORDER_CHECK_S)
        if waiting:
            self._timers.set_earlier(app.name, clock.monotonic() + CHECK_S)
        if any(each.reads_files for each in app.generations):
            self._timers.set_earlier(app.name, clock.monotonic() + FILES_S)
        if detached:
            self._timers.set_earlier(app.name, clock.monotonic() + BACKGROUND_S)
        if self._evidence.watches(app):
            self._timers.set_earlier(app.name, clock.monotonic() + WATCH_S)
        pid_files.update(app, self._log)
        self._app_order.settled(app)
        if (app.running, app.spec) != asked:
            self._state.save()

    def _resume_missing(self, apps: list[AppRecord]) -> None:
        """Start what is missing: all of it first, so that each sees what it is after."""
        if self._host.shutting_down:
            return
        missing = [app for app in apps if app.is_missing()]
        for app in missing:
            self._guard(app, self._new_generations.resume)
        for app in missing:
            self._guard(app, self._new_generations.put_in_order)
            self._apps.touch(app.name)

    def _remember(self, app: AppRecord) -> None:
        """Note an app as it is now; forget one that was deleted, once nothing is left."""
        is_gone = app.deleted and not app.generations and app.operation is None
        if self._unit.listens:
            ends = self._host.shutting_down and bool(app.generations)
            at_work = not is_gone and (ends or app.operation is not None)
            at_work = at_work and not app.cannot_end(clock.monotonic())
            word = None if is_gone else status(app)
            self._unit.app_is(app.name, word, at_work=at_work)
        if is_gone:
            self._forget(app)
        else:
            self._notes.write(app)

    def _plan_and_perform(self, app: AppRecord) -> bool:
        """Plan and act until nothing is left to do now; return whether that happened."""
        changed = False
        for _ in range(MOST_ROUNDS):
            self._apps.touched.pop(app.name, None)  # what touches it from here is new
            now = clock.monotonic()
            planned = plan.plan(self._desired(app, now), app.observed(now))
            self._timers.set(app.name, planned.wake_at)
            for action in planned.actions:
                self._log.write("action", app=app.name, action=repr(action))
                before = alarms.of(app)
                if isinstance(action, SendStop | Kill | Replace):
                    self._notes.write_roles(app)
                try:
                    self._performer.perform(app, action)
                except StillReadsError:
                    pass  # no failure: it is not planned again while they are read
                except GaplessError as error:
                    self._exits.start_failed(app, action, error.message)
                except (OSError, ValueError) as error:
                    self._exits.start_failed(app, action, str(error))
                alarms.write(self._log, app, before)
            self._starts.update(app, planned)
            now_changed = self._operations.update(app)
            changed |= now_changed
            if not planned.actions and not now_changed:
                if changed:  # the end of an operation may be what a renewal waits for
                    self._apps.touch(app.name)
                return True
        self._log.write("plan-does-not-settle", app=app.name)
        return False

    def _desired(self, app: AppRecord, now: float) -> Desired:
        running = app.running and not self._host.shutting_down
        if not running and self._app_order.ends_later(app):
            running = True
        return Desired(
            running=running,
            draining=self._host.draining,
            lead_s=self._host.lead_s,
            may_start=self._starts.free(now),
        )

    def _forget(self, app: AppRecord) -> None:
        if app.last_report is not None:
            self._host.keep_outcome(app.last_report)
        del self._apps[app.name]
        self._state.save()
        self._state.flush()  # whoever asked finds the outcome there, once no note has it
        self._renewals.forget(app.name)
        self._liveness.forget(app.name)
        self._starts.forget(app.name)
        self._app_order.forget(app)
        self._timers.set(app.name, None)
        self._timers.set(f"{app.name}/renewal", None)
        self._timers.set(f"{app.name}/liveness", None)
        self._notes.remove(app.name)
