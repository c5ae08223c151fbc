"""How a generation takes the seats of the one before it.  Pure, a part of `plan`.

Both share the listening sockets.  In each seat one instance ends before the next begins:

    permit    in a fleet: the holder of a slot is asked before the first instance drains
    lead      its health path says no, until no request comes any more (`lead_time`)
    drain     it refuses new requests, and finishes what it began
    quiesce   no new connection begins for a moment, so that none meets its end
    park      its connections outlive it: who asks there waits for the one that follows
    stop      nothing is owed any more: the stop signal
    start     the new instance takes the seat, and the connections in the queue

At most `max_unavailable` seats are empty at once.  If a new instance does not become ready,
the two generations change places: the old one takes its seats again, in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.decide.actions import (
    Action,
    Drain,
    MarkProven,
    Quiesce,
    Resume,
    Revert,
    SendStop,
    Start,
    TakeOver,
)
from gapless.supervisor.decide.ending import (
    CHECK_S,
    IDLE_CHECKS,
    end_instance,
    takes_from,
    time_is_over,
)
from gapless.supervisor.decide.lead_time import next_check, refuse_at
from gapless.supervisor.decide.readiness import (
    all_ready,
    crash,
    empty_seats,
    mark_ready,
    next_probe,
    overdue,
    permission,
)
from gapless.supervisor.decide.restarts import end_failed, refill
from gapless.supervisor.memory.model import Generation, Instance, Mode, Phase, Takeover
from gapless.supervisor.memory.spec import Recycle


def recycle(
    new: Generation, old: Generation, lead: Recycle, now: float
) -> Iterator[Action | float]:
    """Let *new* take the seats of *old*."""
    going_back = bool(old.failure)
    late = overdue(new, now)
    if not going_back:
        failure = crash(new) or (late if isinstance(late, str) else "")
        permitted = None if failure else permission(new, now)
        if failure or isinstance(permitted, str):
            reason = failure or str(permitted)
            yield Revert(new.number, old.number, reason)
            return
        if permitted is not None:
            yield permitted
            return
    if going_back:
        yield from end_failed(new, now)  # no generation is left to go back to
    elif isinstance(late, float):
        yield late
    yield from mark_ready(new, now)
    leaving = [instance for instance in old.instances if _leaves(instance)]
    ending = [i for i in leaving if _meets_no_connection(old, i, now)]
    if ending and not old.quiesced:
        yield Quiesce(old.number)
    elif old.quiesced and not ending:
        yield Resume(old.number)
    for instance in leaving:
        yield from _leave(old, instance, lead, now)
    held = {instance.ordinal for instance in old.instances}
    vacant = [seat for seat in empty_seats(new) if seat.ordinal not in held]
    for seat in vacant:
        if going_back:
            yield from refill(new, seat, now)
        else:
            yield Start(new.number, seat.ordinal)
    starting = [i for i in new.instances if i.phase is not Phase.READY]
    room = new.recycle.max_unavailable - len(leaving) - len(vacant) - len(starting)
    staying = [i for i in old.instances if not _leaves(i) and i.leader_alive]
    for instance in sorted(staying, key=lambda i: i.ordinal)[: max(room, 0)]:
        mode = Mode.LEAVING if lead.lead_s > 0 else Mode.RECYCLE
        yield Drain(instance.key, mode)
    if not old.instances:
        yield from _complete(new, going_back, now)


def _complete(
    new: Generation, going_back: bool, now: float
) -> Iterator[Action | float]:
    if going_back:
        ready = {i.ordinal for i in new.instances if i.phase is Phase.READY}
        is_back = all(seat.given_up or seat.ordinal in ready for seat in new.seats)
        # One that crashes again and again is tried on, and whoever waits is told.
        crashes = any(seat.exited_at is not None for seat in new.seats)
        until = new.since + new.ready.timeout_s
        if is_back or (crashes and now >= until):
            yield MarkProven(new.number)
        elif now < until:
            yield until
        return
    if not all_ready(new):
        return
    probe = next_probe(new, now)
    if probe is not None:
        yield probe
        return
    proven_at = new.since + new.min_healthy_s
    yield MarkProven(new.number) if now >= proven_at else proven_at


def _leave(
    old: Generation, instance: Instance, lead: Recycle, now: float
) -> Iterator[Action | float]:
    """Bring an instance out of its seat, step by step."""
    if instance.stop_sent_at is not None or not instance.leader_alive:
        yield from end_instance(old, instance, now, "its leader is gone")
    elif instance.mode is Mode.LEAVING:
        at = refuse_at(instance, old.instances, lead)
        yield Drain(instance.key, Mode.RECYCLE) if now >= at else next_check(now, at)
    elif now >= _deadline(old, instance):
        yield SendStop(instance.key, time_is_over(old))
    elif not old.quiesced or instance.owed or old.queued:
        yield now + CHECK_S
    elif takes_from(old, instance):
        yield TakeOver(old.number, instance.key)
    elif instance.takeover is Takeover.UNDER_WAY:
        yield now + CHECK_S  # a connection of it is not between two requests
    elif instance.idle_checks >= IDLE_CHECKS:
        yield SendStop(instance.key, "idle")
    else:
        yield now + CHECK_S


def _meets_no_connection(old: Generation, instance: Instance, now: float) -> bool:
    """Return whether no new connection may come to an instance any more."""
    if instance.stop_sent_at is not None:
        return instance.leader_alive
    over = not instance.owed or now >= _deadline(old, instance)
    return instance.mode is Mode.RECYCLE and instance.leader_alive and over


def _deadline(old: Generation, instance: Instance) -> float:
    return instance.mode_since + old.stop.drain_timeout_s


def _leaves(instance: Instance) -> bool:
    """Return whether an instance was chosen to give up its seat, or is ending."""
    chosen = instance.mode in (Mode.LEAVING, Mode.RECYCLE)
    return chosen or instance.stop_sent_at is not None or not instance.leader_alive
