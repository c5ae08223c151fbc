"""How instances end: the exit, what was cut, and when the last process is gone."""

from __future__ import annotations

import os
import signal
from typing import Any

from gapless.base import clock, events
from gapless.supervisor.decide.actions import Action, Start, StartSuccessor
from gapless.supervisor.decide.readiness import is_done_well
from gapless.supervisor.decide.restarts import (
    LONG_LIFE_S,
    first_failure,
    is_tried_again,
    restart_delay_s,
)
from gapless.supervisor.instances.drain_connections import DrainConnections
from gapless.supervisor.instances.notify_sockets import NotifySockets
from gapless.supervisor.kernel import processes
from gapless.supervisor.kernel.controllers import MemoryEvents
from gapless.supervisor.memory import calls
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord, SeatRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Mode, Phase, Role
from gapless.supervisor.memory.spec import Limits
from gapless.supervisor.observe.membership import Membership

UNSEEN = "ended unseen"
"""The reason of an end of which nobody knows how it came."""
AT_ONCE_S = 0.2
"""A program without a handler is ended by its stop signal within this time."""


class Exits:
    """Notes how instances end, and removes those of which nothing is left."""

    def __init__(
        self,
        apps: Apps,
        keeper: KeeperConnection,
        membership: Membership,
        notify_sockets: NotifySockets,
        drain_connections: DrainConnections,
        *,
        log: events.Log,
    ) -> None:
        self._apps, self._keeper, self._membership = apps, keeper, membership
        self._notify_sockets = notify_sockets
        self._drain_connections = drain_connections
        self._log = log

    def exited(self, key: str, reason: str, at: float, code: int | None) -> None:
        """Note that the leader of an instance has ended: how, and when.

        *code* is its exit code, or minus a signal's number; None if it never ran.
        """
        found = self._apps.find(key)
        if found is None:
            if not self._apps.is_unread(key):
                self._keeper.forget(key)
            return
        app, generation, instance = found
        if instance.pidfd >= 0:
            os.close(instance.pidfd)
            instance.pidfd = -1
        if not instance.leader_alive:
            return  # an earlier supervisor has recorded it
        app.exit_code = code
        instance.leader_alive = False
        if instance.refusal:
            reason = f"{reason} ({instance.refusal})"
        reason += memory_end(
            self._membership.memory_events(instance), code, generation.spec.limits
        )
        lived_s = at - instance.started
        stopped = instance.stop_sent_at is not None
        leaves = (
            generation.role is Role.RETIRING
            or (generation.role is Role.YIELDING and stopped)
            or instance.hung  # another one has its seat, or will
        )
        if leaves:
            self._count_cut(app, generation, instance, code, at)
        else:
            seat = generation.seats[instance.ordinal]
            # A kill has noted its reason in the seat.
            why = seat.exit_reason or reason if stopped else reason
            seat.exit_reason = f"{why} after {lived_s:.2f} s"
            self._vacate(generation, seat, instance, lived_s)
            seat.exited_at = at
            own = code is not None and code >= 0 and instance.has_seat
            seat.exit_code = (
                code if own else None
            )  # a successor's end is not the seat's
            if app.operation is not None:
                done = is_done_well(generation.value(), seat.value())
                _tell(app, generation, seat, "ended" if done else "crashed")
        self._log.write("exited", key=key, reason=reason, lived_s=lived_s)
        instance.process_count = self._membership.count(generation, instance)

    def _vacate(
        self,
        generation: GenerationRecord,
        seat: SeatRecord,
        instance: InstanceRecord,
        lived_s: float,
    ) -> None:
        """Count a life by its length; the seat is empty, and may be filled again."""
        ready = instance.ready_at is not None
        seat.listened_itself |= bool(instance.listens)
        short = not ready or lived_s < generation.spec.restart.min_uptime_s
        short |= not instance.has_seat  # a successor that has not proved itself
        seat.short_lives = seat.short_lives + 1 if short else 0
        seat.quick_exits = seat.quick_exits + 1 if lived_s < LONG_LIFE_S else 0
        instance.phase = Phase.DRAINING

    def start_failed(self, app: AppRecord, action: Action, reason: str) -> None:
        """Note that an action failed; a start that fails is an exit at once."""
        self._log.write("action-failed", action=repr(action), reason=reason)
        if not isinstance(action, Start | StartSuccessor):
            return
        generation = app.generation(action.generation)
        for instance in list(generation.instances):
            if instance.ordinal == action.ordinal and not instance.pid:
                generation.instances.remove(instance)
                self._notify_sockets.close(instance.key)
                self._membership.forget(instance)
        seat = generation.seats[action.ordinal]
        seat.short_lives += 1
        seat.quick_exits += 1
        seat.exit_code = None
        seat.exited_at = clock.monotonic()
        seat.exit_reason = f"could not be started: {reason}"
        if _next_try(app, generation, seat):
            _tell(app, generation, seat, "crashed")

    # --- what was cut -----------------------------------------------------------------

    def _count_cut(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        instance: InstanceRecord,
        code: int | None,
        at: float,
    ) -> None:
        """Count the connections on which an answer was owed when an instance ended.

        An app that counts says itself what was cut of what it owed, unless it hung and
        said nothing; the calls that it waited for are counted here too.
        """
        moving, unknown = instance.moving, instance.unknown
        if instance.counts is not None:
            if self._drain_connections.is_heard(instance.key):
                moving = unknown = 0
            moving, unknown = _without_counted(instance, moving, unknown)
        if _ended_in_order(instance, generation.spec.stop.signal, code, at):
            # It may have finished its answers since the last look.
            moving, unknown = 0, moving + unknown
        generation.connections_cut += moving
        generation.connections_unknown += unknown
        if moving:
            self._report_cut(app, instance, {"connections": moving})
        # Calls after the stop signal are part of the app's exit, unless it was killed.
        cut = [c for c in instance.calls if c.before_stop or instance.killed]
        generation.calls_cut += len(cut)
        if cut:
            named = [
                {"to": call.to, "name": call.name, "for_s": round(call.for_s, 3)}
                for call in cut[: calls.MOST_NAMES]
            ]
            self._report_cut(app, instance, {"outgoing": len(cut), "names": named})

    def _report_cut(
        self, app: AppRecord, instance: InstanceRecord, what: dict[str, Any]
    ) -> None:
        """Write down what was cut: in the log, and in the report of the operation."""
        reason = instance.stop_reason or "it ended by itself"
        cut = {"pid": instance.pid, **what, "reason": reason}
        reported = app.operation is not None
        self._log.write("cut", key=instance.key, reported=reported, **cut)
        if app.operation is not None:
            app.operation.cut.append(cut)

    # --- when nothing is left ---------------------------------------------------------

    def remove_ended(self, app: AppRecord) -> None:
        """Forget instances of which no process is left."""
        for generation in app.generations:
            for instance in list(generation.instances):
                if not instance.leader_alive and instance.process_count == 0:
                    self._add_counts(app, generation, instance)
                    generation.instances.remove(instance)
                    self._notify_sockets.close(instance.key)
                    self._keeper.forget(instance.key)
                    self._membership.forget(instance)

    def _add_counts(
        self, app: AppRecord, generation: GenerationRecord, instance: InstanceRecord
    ) -> None:
        """Keep what an instance that is gone had counted, and what it left undone."""
        last = self._drain_connections.forget(instance.key)
        if last is None:
            return
        generation.counts = (generation.counts or Counts()).plus(last.ended())
        if last.cut_requests or last.cut_procedures:
            cut = {
                "requests": last.cut_requests,
                "procedures": last.cut_procedures,
                "names": [{**e, "for_s": round(e["for_s"], 3)} for e in last.cut],
            }
            self._report_cut(app, instance, cut)


def _tell(
    app: AppRecord, generation: GenerationRecord, seat: SeatRecord, step: str
) -> None:
    """Tell those who wait how the instance of a seat ended, and when the next one comes."""
    if app.operation is not None:
        detail = seat.last_end + _next_try(app, generation, seat)
        app.operation.step(step, clock.monotonic(), detail)


def _next_try(app: AppRecord, generation: GenerationRecord, seat: SeatRecord) -> str:
    """Return when a first start is tried again; empty if it is not."""
    own = generation.value()
    others = (each.value() for each in app.generations if each is not generation)
    if not is_tried_again(own, [own, *others]) or first_failure(own):
        return ""
    delay_s = restart_delay_s(own.restart, seat.value())
    return f"; tried again in {delay_s:.3g} s" if delay_s else "; tried again now"


def _without_counted(
    instance: InstanceRecord, moving: int, unknown: int
) -> tuple[int, int]:
    """Return how many connections are left when those that it had counted are left out.

    They are told as requests (`Exits._add_counts`); what it counted as it served is not.
    """
    counts = instance.counts or Counts()
    under_way = counts.requests if instance.mode is not Mode.SERVING else 0
    counted = counts.cut_requests + under_way
    rest = max(0, counted - moving)
    return max(0, moving - counted), max(0, unknown - rest)


def _ended_in_order(
    instance: InstanceRecord, stop_signal: str, code: int | None, at: float
) -> bool:
    """Return whether a program ended by itself, or in answer to its stop signal.

    Some send that signal to themselves when they are done.
    """
    if instance.killed:
        return False
    if code is None or code >= 0:  # or nobody saw how
        return True
    since_stop_s = 0.0 if instance.stop_sent_at is None else at - instance.stop_sent_at
    return -code == signal.Signals[stop_signal] and since_stop_s > AT_ONCE_S


def memory_end(found: MemoryEvents, code: int | None, limits: Limits) -> str:
    """Return what the kernel did to an instance for want of memory, after how it ended.

    A process of it may have been killed long before, and the leader may have ended of it.
    """
    if not found.killed:
        return ""
    size_mb = (limits.memory_bytes or 0) / (1 << 20)
    whose = f"its own limit of {size_mb:g} MB (limits.memory_mb)"
    if not (found.own_limit and limits.memory_bytes):
        whose = "a limit above it, or of the whole machine, not its own"
    if code == -signal.SIGKILL:
        return f" by the kernel, for want of memory: {whose}"
    killed = "a process" if found.killed == 1 else f"{found.killed} processes"
    return f", and the kernel had killed {killed} of it for want of memory: {whose}"


def end_tree(leader: int, pidfd: int) -> None:
    """Kill a process and everything that came from it.

    Only while it lives: another process may have its number afterwards.
    """
    table = processes.snapshot()
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return
    for pid in table.tree({leader}, session=leader):
        processes.signal_exactly(table.rows[pid], signal.SIGKILL)


def describe_status(status: int | None) -> str:
    """Return how a process ended, from its wait status (wait(2)); None: it is unknown."""
    if status is None:
        return UNSEEN
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"was killed by {name}"
    return f"exited with code {os.waitstatus_to_exitcode(status)}"
