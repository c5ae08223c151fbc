"""How a generation takes the seats of the one before it.  Pure, a part of `plan`.

Both share the listening sockets.  In each seat one instance ends before the next begins:

    permit    of a fleet: who holds a slot is asked before the first one drains
    lead      its health path says no, until no request comes any more (`leading`)
    drain     it refuses what is new, and finishes what it began
    quiesce   no new connection begins for a moment, so that none meets its end
    tell      nothing is owed any more: the stop signal
    start     the successor takes the seat, and what waits in the queue

At most `max_unavailable` seats are out at once.  If a successor does not come back, the
two change places: the one before takes its seats again, in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.ending import LOOK_S, QUIET_LOOKS, end
from gapless.supervisor.leading import look_at, refuse_at
from gapless.supervisor.model import (
    Action,
    Drain,
    Generation,
    Instance,
    Mode,
    Phase,
    Prove,
    Quiesce,
    Resume,
    Revert,
    Start,
    Tell,
)
from gapless.supervisor.readying import (
    all_ready,
    ask,
    death,
    empty,
    late,
    permit,
    ripen,
)
from gapless.supervisor.restarting import refill, tend
from gapless.supervisor.spec import Recycle


def recycle(
    new: Generation, old: Generation, lead: Recycle, now: float
) -> Iterator[Action | float]:
    """Let *new* take the seats of *old*."""
    going_back = bool(old.failure)
    overdue = late(new, now)
    if not going_back and (death(new) or isinstance(overdue, str)):
        why = death(new) or str(overdue)
        yield Revert(new.number, old.number, why)
        return
    if not going_back:
        asked = permit(new, now)
        if isinstance(asked, str):
            yield Revert(new.number, old.number, asked)
            return
        if asked is not None:
            yield asked
            return
    if going_back:
        yield from tend(new, now)  # there is nobody to go back to any more
    elif isinstance(overdue, float):
        yield overdue
    yield from ripen(new, now)
    leaving = [instance for instance in old.instances if _leaves(instance)]
    ending = [i for i in leaving if _is_ending(old, i, now)]
    if ending and not old.quiesced:
        yield Quiesce(old.number)
    elif old.quiesced and not ending:
        yield Resume(old.number)
    for instance in leaving:
        yield from _leave(old, instance, lead, now)
    held = {instance.ordinal for instance in old.instances}
    vacant = [seat for seat in empty(new) if seat.ordinal not in held]
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
        if all(seat.given_up or seat.ordinal in ready for seat in new.seats):
            yield Prove(new.number)
        return
    if not all_ready(new):
        return
    asked = ask(new, now)
    if asked is not None:
        yield asked
        return
    proven_at = new.since + new.min_healthy_s
    yield Prove(new.number) if now >= proven_at else proven_at


def _leave(
    old: Generation, instance: Instance, lead: Recycle, now: float
) -> Iterator[Action | float]:
    """Lead an instance out of its seat."""
    if instance.told is not None or not instance.leader_alive:
        yield from end(old, instance, now, "its leader is gone")
    elif instance.mode is Mode.LEAVING:
        at = refuse_at(instance, old.instances, lead)
        yield Drain(instance.key, Mode.RECYCLE) if now >= at else look_at(now, at)
    elif now >= _deadline(old, instance):
        limit = f"{old.stop.drain_timeout_s:g} s"
        yield Tell(instance.key, f"not idle after {limit}")
    elif (
        old.quiesced
        and not (instance.owed or old.queued)
        and instance.quiet_looks >= QUIET_LOOKS
    ):
        yield Tell(instance.key, "idle")
    else:
        yield now + LOOK_S


def _is_ending(old: Generation, instance: Instance, now: float) -> bool:
    """Tell whether an instance has to meet no new connection any more."""
    if instance.told is not None:
        return instance.leader_alive
    over = not instance.owed or now >= _deadline(old, instance)
    return instance.mode is Mode.RECYCLE and instance.leader_alive and over


def _deadline(old: Generation, instance: Instance) -> float:
    return instance.mode_since + old.stop.drain_timeout_s


def _leaves(instance: Instance) -> bool:
    """Tell whether an instance was chosen to give up its seat, or is ending."""
    chosen = instance.mode in (Mode.LEAVING, Mode.RECYCLE)
    return chosen or instance.told is not None or not instance.leader_alive
