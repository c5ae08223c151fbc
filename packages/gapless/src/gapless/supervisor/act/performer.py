"""Carry out what the plan decided, one action at a time.

Every action may be repeated: a supervisor that died after it and before its note is
followed by one that decides the same again.
"""

from __future__ import annotations

from gapless.supervisor.act.generation_actions import GenerationActions
from gapless.supervisor.act.instance_actions import InstanceActions
from gapless.supervisor.act.launch import Launcher
from gapless.supervisor.act.takeovers import Takeovers
from gapless.supervisor.decide import actions
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.sockets.seats import SeatSockets


class Performer:
    """The only place from which apps are acted on."""

    def __init__(
        self,
        launcher: Launcher,
        generations: GenerationActions,
        instances: InstanceActions,
        takeovers: Takeovers,
        seat_sockets: SeatSockets,
    ) -> None:
        self._launcher, self._takeovers = launcher, takeovers
        self._seat_sockets = seat_sockets
        self._generations, self._instances = generations, instances

    def keep_up(self, app: AppRecord, now: float) -> bool:
        """Do what follows from what was observed, without a decision.

        Returns whether to look again soon.  Raises OSError.
        """
        again = self._seat_sockets.update(app, now)
        self._instances.look_at_sockets(app)
        return again

    def perform(self, app: AppRecord, action: actions.Action) -> None:
        """Carry out one action.  Raises GaplessError, OSError."""
        generations, instances = self._generations, self._instances
        match action:
            case actions.Start(number, ordinal):
                self._launcher.start(app, app.generation(number), ordinal)
            case actions.StartSuccessor(number, ordinal, replaces):
                self._launcher.start(app, app.generation(number), ordinal, replaces)
            case actions.Replace(key, reason):
                self._replace(app, key, reason)
            case actions.MarkReady(key):
                instances.mark_ready(app, key)
            case actions.NameWait(number, what):
                generations.name_wait(app, app.generation(number), what)
            case actions.SendProbe(number):
                generations.send_probe(app, app.generation(number))
            case actions.AskPermit(number):
                generations.ask_permit(app, app.generation(number))
            case actions.CompareFiles(number, ready, successor):
                generations.compare_files(
                    app, app.generation(number), successor, ready=ready
                )
            case actions.Switch(number):
                generations.switch(app, app.generation(number))
            case actions.MarkProven(number):
                generations.mark_proven(app, app.generation(number))
            case actions.Revert(number, to, reason):
                generations.revert(
                    app, app.generation(number), app.generation(to), reason
                )
            case actions.Retire(number, reason):
                generations.retire(app, app.generation(number), reason)
            case actions.TryOn(number, reason):
                generations.try_on(app, app.generation(number), reason)
            case actions.Quiesce(number):
                generations.quiesce(app, app.generation(number))
            case actions.Resume(number):
                self._resume(app, number)
            case actions.Drain(key, mode):
                instances.drain(app, key, mode)
            case actions.TakeOver(number, key):
                self._takeovers.begin(app, app.generation(number), key)
            case actions.SendStop(key, reason):
                self._takeovers.ending(app, key)
                instances.send_stop(app, key, reason)
            case actions.Kill(key, reason, excludes):
                instances.kill(app, key, reason, excludes=excludes)
            case actions.GiveUp(number, ordinal, reason):
                generations.give_up(app, app.generation(number), ordinal, reason)
            case actions.MarkFinished(number):
                generations.finish(app, app.generation(number))
            case actions.StartRelay(number):
                generations.start_relays(app, app.generation(number))
            case actions.CloseGeneration(number):
                self._close(app, number)

    def _replace(self, app: AppRecord, key: str, reason: str) -> None:
        self._takeovers.ending(app, key)
        self._instances.replace(app, key, reason)

    def _resume(self, app: AppRecord, number: int) -> None:
        self._generations.resume(app, app.generation(number))
        self._takeovers.update(app)  # what waits for that goes on

    def _close(self, app: AppRecord, number: int) -> None:
        self._takeovers.forget(app, app.generation(number))
        self._generations.close(app, app.generation(number))
