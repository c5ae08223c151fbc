"""What is written down when instances end: how, what was cut, when all of it is gone."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from gapless.base import clock
from gapless.supervisor import model, outgoing, processes
from gapless.supervisor.counts import Counts
from gapless.supervisor.model import Phase, Role
from gapless.supervisor.readying import is_done_well
from gapless.supervisor.records import (
    AppRecord,
    GenerationRecord,
    InstanceRecord,
    find_instance,
)
from gapless.supervisor.restarting import LONG_LIFE_S

if TYPE_CHECKING:
    from gapless.supervisor.loop import Supervisor


class Ends:
    """Keeps the account of what has ended."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def ended(self, key: str, why: str, at: float, code: int | None) -> None:
        """Note that a leader has ended, *why* and when.

        *code* is its exit code, or minus a signal's number; None if it never ran.
        """
        found = find_instance(self._supervisor.apps, key)
        if found is None:
            self._supervisor.hands.forget(key)
            return
        app, generation, instance = found
        if not instance.leader_alive:
            return
        app.exit_code = code
        instance.leader_alive = False
        told = instance.told is not None
        if instance.pidfd >= 0:
            os.close(instance.pidfd)
            instance.pidfd = -1
        lived_s = at - instance.started
        if instance.complaint:
            why = f"{why} ({instance.complaint})"
        leaves = generation.role is Role.RETIRING or (
            generation.role is Role.YIELDING and told
        )
        if leaves:
            self._count_cut(app, generation, instance)
        seat = generation.seats[instance.ordinal]
        if not leaves:
            ready = instance.ready_at is not None
            short = not ready or lived_s < generation.spec.restart.min_uptime_s
            seat.short_lives = seat.short_lives + 1 if short else 0
            seat.hasty = seat.hasty + 1 if lived_s < LONG_LIFE_S else 0
            seat.ended = at
            seat.code = code if code is not None and code >= 0 else None
            seat.why = (
                f"{seat.why or why} after {lived_s:.2f} s"
                if told
                else (f"{why} after {lived_s:.2f} s")
            )
            instance.phase = Phase.DRAINING
            if app.operation is not None:
                detail = f"instance {seat.ordinal} {seat.why}"
                done = is_done_well(generation.value(), seat.value())
                what = "ended" if done else "crashed"
                app.operation.step(what, clock.monotonic(), detail)
        self._supervisor.log.write("ended", key=key, why=why, lived_s=lived_s)
        instance.members = self._supervisor.evidence.count_members(
            processes.snapshot(), generation, instance
        )

    def _count_cut(
        self, app: AppRecord, generation: GenerationRecord, instance: InstanceRecord
    ) -> None:
        """Count the connections on which an answer was owed when an instance ended.

        Who counts tells by himself what was cut of what he owed; what he waited for of
        others is counted for him too.
        """
        busy = 0 if instance.counts is not None else instance.busy
        generation.connections_cut += busy
        if busy:
            self._tell_cut(app, instance, {"connections": busy})
        # What it asked after its stop signal is its own to end, unless it was killed.
        calls = [c for c in instance.calls if c.before_stop or instance.killed]
        generation.calls_cut += len(calls)
        if calls:
            named = [
                {"to": call.to, "name": call.name, "for_s": round(call.for_s, 3)}
                for call in calls[: outgoing.MOST_NAMES]
            ]
            self._tell_cut(app, instance, {"outgoing": len(calls), "names": named})

    def _tell_cut(
        self, app: AppRecord, instance: InstanceRecord, what: dict[str, Any]
    ) -> None:
        """Write down what was cut: in the log, and in the report of who waits for it."""
        why = instance.told_why or "it ended by itself"
        cut = {"pid": instance.pid, **what, "reason": why}
        self._supervisor.log.write("cut", key=instance.key, **cut)
        if app.operation is not None:
            app.operation.cut.append(cut)

    def bury(self, app: AppRecord) -> None:
        """Forget instances of which no process is left."""
        for generation in app.generations:
            for instance in list(generation.instances):
                if not instance.leader_alive and instance.members == 0:
                    self._sum_up(app, generation, instance)
                    generation.instances.remove(instance)
                    self._supervisor.launcher.forget(instance.key)
                    self._supervisor.view.forget(instance.key)
                    self._supervisor.hands.forget(instance.key)

    def _sum_up(
        self, app: AppRecord, generation: GenerationRecord, instance: InstanceRecord
    ) -> None:
        """Keep what an instance that is gone had counted, and what it left undone."""
        last = self._supervisor.speakers.forget(instance.key)
        if last is None:
            return
        generation.counts = (generation.counts or Counts()).plus(last.ended())
        if last.cut_requests or last.cut_procedures:
            cut = {
                "requests": last.cut_requests,
                "procedures": last.cut_procedures,
                "names": [{**e, "for_s": round(e["for_s"], 3)} for e in last.cut],
            }
            self._tell_cut(app, instance, cut)

    def could_not(self, app: AppRecord, action: model.Action, why: str) -> None:
        """Write down that an action failed: its seat ended as soon as it was taken."""
        self._supervisor.log.write("could-not", action=repr(action), reason=why)
        if not isinstance(action, model.Start):
            return
        generation = app.generation(action.generation)
        for instance in list(generation.instances):
            if instance.ordinal == action.ordinal and not instance.pid:
                generation.instances.remove(instance)
                self._supervisor.launcher.forget(instance.key)
        seat = generation.seats[action.ordinal]
        seat.short_lives += 1
        seat.hasty += 1
        seat.code = None
        seat.ended, seat.why = clock.monotonic(), f"could not be started: {why}"


def end_whole(leader: int) -> None:
    """End a process and everything that came from it."""
    table = processes.snapshot()
    for pid in processes.tree(table, leader, session=leader):
        processes.signal_exactly(table[pid], signal.SIGKILL)


def describe_status(status: int) -> str:
    """Return how a process ended, from its wait status (wait(2))."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"was killed by {name}"
    return f"exited with code {os.waitstatus_to_exitcode(status)}"
