"""The only loop: hear, look, plan, perform, remember.

Nothing here decides about apps; `plan` does.  The loop wakes when somebody speaks, when
a process ends, or when `plan` asked to be woken.  When nothing happens it sleeps.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket

from gapless.base import clock, events, files, wakeup, wire
from gapless.base.errors import GaplessError
from gapless.base.names import Home
from gapless.keeper import interception, processname
from gapless.supervisor import pidfiles, plan, state, tail
from gapless.supervisor.answering import Answering
from gapless.supervisor.control import Control, Conversation
from gapless.supervisor.hands import Hands, KeeperLostError
from gapless.supervisor.hearing import Hearing
from gapless.supervisor.launch import Launcher
from gapless.supervisor.listeners import Listeners
from gapless.supervisor.model import Desired, Phase, Role
from gapless.supervisor.observe import Evidence
from gapless.supervisor.operations import Operation
from gapless.supervisor.perform import Performer
from gapless.supervisor.readying import is_done
from gapless.supervisor.records import AppRecord, GenerationRecord, allot_ids
from gapless.supervisor.renewal import Renewal
from gapless.supervisor.requests import Requests
from gapless.supervisor.speakers import Speakers
from gapless.supervisor.view import View

MOST_ROUNDS = 50
"""More rounds of planning in one turn of the loop would be a plan that never settles."""


class Supervisor:
    """All apps of one user on one host."""

    def __init__(self, home: str, line: socket.socket, *, resume_all: bool) -> None:
        processname.set_title("gapless supervise")
        self.home = Home(home)
        self.log = events.Log(self.home.own_log)
        self.selector = selectors.DefaultSelector()
        self.apps: dict[str, AppRecord] = {}
        self.wakes: dict[str, float] = {}
        self.leaving: Conversation | None = None
        self.shutting_down = self.over = self.draining = False
        self.lead_s: float | None = None
        """How long, at most, balancers are told before; None: as each app says."""
        self.mechanisms = {"interception": interception.unavailable() or True}
        self.hands = Hands(wire.Channel(line))
        self.listeners = Listeners(self.hands)
        self.hearing = Hearing(self)
        self.speakers = Speakers(
            self.selector, self.hands, self.hearing.belongs, self.hearing.counted
        )
        self.evidence = Evidence(self.listeners, self.speakers.pids)
        self.launcher = Launcher(
            self.home,
            self.selector,
            self.hands,
            self.listeners,
            speakers=self.speakers,
            interception=self.mechanisms["interception"] is True,
            hear=self.hearing.said,
        )
        self.requests = Requests(self.apps, self.listeners, self.save)
        self.renewal = Renewal(
            self.selector, self.requests, self.evidence, self.log, home
        )
        self.hearing.welcome()
        self.view = View(self.home, self.listeners, self.evidence, self.speakers)
        self.performer = Performer(
            self.selector,
            hands=self.hands,
            listeners=self.listeners,
            evidence=self.evidence,
            launcher=self.launcher,
            speakers=self.speakers,
        )
        self.selector.register(line, selectors.EVENT_READ, self.hearing.keeper)
        for number in (signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        self.wakeup = wakeup.on((signal.SIGTERM, signal.SIGINT))
        self.selector.register(self.wakeup, selectors.EVENT_READ, self._signalled)
        self._resume(resume_all)
        self.control = Control(self.selector, home, Answering(self).serve)

    def serve(self) -> None:
        """Run until told to leave."""
        try:
            while not self.over:
                self.settle()
                wire.take_turn(self.selector, self._timeout_s())
        except KeeperLostError as error:
            if self.hands.ending:
                self._farewell()
            else:
                self.log.write("keeper-lost", reason=error.message)
        self.control.close()

    def _timeout_s(self) -> float | None:
        if not self.wakes:
            return None
        return max(0.0, min(self.wakes.values()) - clock.monotonic())

    # --- plan and perform -----------------------------------------------------------

    def settle(self) -> None:
        """Let every app come to rest for now, and remember what changed."""
        for app in list(self.apps.values()):
            self._renew(app)
            self._settle(app)
        self._wait_for_counts()
        if not any(app.generations for app in self.apps.values()):
            self.speakers.close()
            if self.shutting_down:
                self.hands.end()
        self.hearing.flush()
        self.control.flush()  # nobody is told what a next supervisor would not know

    def _wait_for_counts(self) -> None:
        self.speakers.expire(clock.monotonic())
        until = self.speakers.wait_until()
        if until is None:
            self.wakes.pop("", None)
        else:
            self.wakes[""] = until

    def _renew(self, app: AppRecord) -> None:
        """Begin what the clock, a change of files or a limit of memory asks for."""
        look_at = None if self.shutting_down else self.renewal.look(app)
        if look_at is None:
            self.wakes.pop(f"{app.name}/renewal", None)
        else:
            self.wakes[f"{app.name}/renewal"] = look_at

    def _settle(self, app: AppRecord) -> None:
        was_running = app.running
        self.evidence.look(app)
        self.hearing.ends.bury(app)
        waiting = self.evidence.look_for_acceptors(app, clock.monotonic())
        running = app.running and not self.shutting_down
        desired = Desired(running=running, draining=self.draining, lead_s=self.lead_s)
        for _ in range(MOST_ROUNDS):
            planned = plan.plan(desired, app.observed(clock.monotonic()))
            self.wakes.pop(app.name, None)
            if planned.wake_at is not None:
                self.wakes[app.name] = planned.wake_at
            for action in planned.actions:
                self.log.write("action", app=app.name, action=repr(action))
                try:
                    self.performer.perform(app, action)
                except GaplessError as error:
                    self.hearing.ends.could_not(app, action, error.message)
                except OSError as error:
                    self.hearing.ends.could_not(app, action, str(error))
            self._end_operations(app)
            if not planned.actions:
                break
        else:
            self.log.write("unsettled", app=app.name)
            waiting = True
        if waiting:
            soon = clock.monotonic() + plan.LOOK_S
            self.wakes[app.name] = min(soon, self.wakes.get(app.name, soon))
        pidfiles.settle(app, self.log)
        if app.running != was_running:
            self.save()
        if app.deleted and not app.generations and app.operation is None:
            del self.apps[app.name]
            self.renewal.forget(app.name)
            self.wakes.pop(app.name, None)
            self.wakes.pop(f"{app.name}/renewal", None)
            self.hands.note(f"app/{app.name}", None)
            self.save()
        else:
            self.hands.note(f"app/{app.name}", app.note())

    def _end_operations(self, app: AppRecord) -> None:
        operation = app.operation
        if operation is not None and self._is_over(app, operation):
            self._report(app, operation)
        if app.waiting is not None and app.operation is None and app.running:
            admitted = plan.admit(app.observed(clock.monotonic()))
            if admitted is plan.Admission.NOW:
                self._begin_waiting(app)
        elif app.waiting is not None and app.operation is None:
            self._begin_waiting(app)

    def _begin_waiting(self, app: AppRecord) -> None:
        waiting, app.waiting = app.waiting, None
        assert waiting is not None
        self.requests.begin(app, waiting)

    def _is_over(self, app: AppRecord, operation: Operation) -> bool:
        """Tell whether an operation has come to its end, and how."""
        if operation.action in ("stop", "delete"):
            return not app.generations
        found = [g for g in app.generations if g.number == operation.generation]
        if not found:
            return True
        generation = found[0]
        if generation.failure:
            operation.failure = generation.failure
        if any(seat.given_up for seat in generation.seats):
            operation.failure = next(s.why for s in generation.seats if s.given_up)
            return generation.role is Role.SERVING
        numbers = [g.number for g in app.generations]
        if operation.old_generation in numbers and len(numbers) > 1:
            return False  # the one before has not ended yet
        return generation.role is Role.SERVING and _is_complete(generation)

    def _report(self, app: AppRecord, operation: Operation) -> None:
        app.operation = None
        if operation.failure:
            operation.log_tail = tail.last_lines(
                operation.log_marks, operation.generation or 0
            )
            serving = app.current()
            if serving is not None:
                app.spec = serving.spec  # what failed is not what is asked for now
        app.last_report = operation.end()
        self.log.write("report", **app.last_report)
        path = f"{self.home.reports}/{app.name}"
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
            name = f"{operation.action}-{operation.generation or 0}.json"
            files.write_json(f"{path}/{name}", app.last_report)
        except OSError as error:
            self.log.write("not-written", path=path, reason=str(error))
        self.save()

    # --- beginning and end ------------------------------------------------------------

    def _resume(self, resume_all: bool) -> None:
        """Go on where the last supervisor was."""
        asked = state.read(self.home.state)
        self.draining, self.lead_s = asked.draining, asked.lead_s
        for name, wanted in asked.apps.items():
            if name in self.apps:
                continue  # the keeper knew more
            app = self.apps[name] = AppRecord(
                name=name,
                spec=wanted.spec,
                running=wanted.running and (resume_all or not asked.shut_down),
                last_generation=wanted.last_generation,
                restarts=wanted.restarts,
                ids=list(wanted.ids),
                finished=wanted.finished,
                last_report=wanted.last_report,
            )
            allot_ids(self.apps, app, app.spec.instances)
            if app.running:
                self.requests.resume(app)
        self.save()

    def save(self) -> None:
        """Write down what was asked for."""
        wishes = {
            app.name: state.Asked(
                spec=app.spec,
                running=app.running,
                last_generation=app.last_generation,
                restarts=app.restarts,
                ids=app.ids,
                finished=app.finished,
                last_report=app.last_report,
            )
            for app in self.apps.values()
            if not app.deleted
        }
        try:
            whole = state.State(
                apps=wishes,
                shut_down=self.shutting_down,
                draining=self.draining,
                lead_s=self.lead_s,
            )
            state.write(self.home.state, whole)
        except OSError as error:
            # The keeper remembers too; a full disk must not stop a release.
            self.log.write("not-written", path=self.home.state, reason=str(error))

    def _signalled(self) -> None:
        """SIGTERM and SIGINT: leave; the apps serve on, the keeper holds them."""
        numbers = self.wakeup.recv(64)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self.over = True

    def _farewell(self) -> None:
        """Say that all has ended, the keeper too: who comes next meets no rest of it."""
        if self.leaving is not None:
            self.leaving.tell({"result": {"shut_down": True}}, last=True)
        self.control.flush()


def _is_complete(generation: GenerationRecord) -> bool:
    """Tell whether every seat has an instance that is ready, or had one that is done."""
    value = generation.value()
    ready = {i.ordinal for i in value.instances if i.phase is Phase.READY}
    return all(s.ordinal in ready or is_done(value, s) for s in value.seats)
