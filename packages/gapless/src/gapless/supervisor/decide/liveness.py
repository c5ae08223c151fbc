"""How instances that hang are replaced.  Pure, a part of `plan`.

Rule 1: one at a time, and none before a successor beside it has passed the check.
Rule 2: a successor that fails the check is ended, and counts as a short life: `restart.max`
and its delays say how often it is tried.  So where all instances fail at once for what they
share, none of them is ended, and successors are tried for the first one only.
Rule 3: an instance that may not have another beside it (`overlap = false`) is ended first,
if others answer.
Rule 4: so it is from then on where a successor was seen to share state on disk with the
instance that hangs: it is killed at once, as the new generation of a reload would be.
Rule 5: the idle connections of one that hangs outlive it.  What it has read is its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.decide.actions import (
    Action,
    Kill,
    Replace,
    SendStop,
    StartSuccessor,
    TakeOver,
)
from gapless.supervisor.decide.files import comparison
from gapless.supervisor.decide.restarts import restart_delay_s
from gapless.supervisor.memory.model import Generation, Instance, Phase, Takeover
from gapless.supervisor.memory.spec import Asks


def replace_hanging(
    generation: Generation, now: float, *, steady: bool
) -> Iterator[Action | float]:
    """Replace an instance that hangs; begin only while no other change is under way."""
    if generation.alive.when is Asks.NEVER:
        return
    if any(instance.hung for instance in generation.instances):
        return  # one at a time
    keys = {instance.key for instance in generation.instances}
    under_way = [i for i in generation.instances if i.replaces in keys]
    if under_way:
        for successor in under_way:
            yield from _judge(generation, successor, now)
    elif steady and generation.restart.automatic:
        yield from _begin(generation, now)


def hangs(generation: Generation, instance: Instance) -> bool:
    """Return whether an instance has failed so many checks that it counts as hanging."""
    serves = instance.phase is Phase.READY and instance.leader_alive
    return serves and instance.alive_failures >= generation.alive.failures


def why(instance: Instance) -> str:
    """Return why an instance is replaced."""
    failed = f"{instance.alive_failures} checks in a row"
    return f"it does not answer: {instance.alive_answer}, {failed}"


def _judge(
    generation: Generation, successor: Instance, now: float
) -> Iterator[Action | float]:
    """End the instance that hangs, or its successor, once it is known which."""
    if not successor.leader_alive or successor.stop_sent_at is not None:
        return
    files = comparison.beside(generation, successor, now)
    if isinstance(files, str):
        yield Kill(successor.key, files, excludes=True)
        return
    if files is not None:
        yield files
    if successor.phase is not Phase.READY:
        return
    before = next(i for i in generation.instances if i.key == successor.replaces)
    if successor.proved_alive and files is None:
        yield _replace(generation, before, _why_replaced(before), now)
    elif hangs(generation, successor):
        # It may serve all the same what it is not asked for: it finishes that.
        alike = "as" if before.alive_failures else "unlike"
        reason = f"{alike} the instance that it replaces, {why(successor)}"
        yield SendStop(successor.key, reason)


def _replace(
    generation: Generation, instance: Instance, reason: str, now: float
) -> Action | float:
    """Return what ends an instance that hangs: its idle connections are taken before."""
    if not generation.takes_over:
        return Replace(instance.key, reason)
    if instance.takeover is Takeover.NONE:
        return TakeOver(generation.number, instance.key)
    if instance.takeover is Takeover.UNDER_WAY and now < instance.takeover_until:
        return instance.takeover_until
    return Replace(instance.key, reason)


def _why_replaced(instance: Instance) -> str:
    if instance.alive_failures:
        return why(instance)
    return "it did not answer, and its successor had passed a check when it did again"


def _begin(generation: Generation, now: float) -> Iterator[Action | float]:
    """Start a successor for the first instance that hangs."""
    hanging = [i for i in generation.instances if hangs(generation, i)]
    ready = [i for i in generation.instances if i.phase is Phase.READY]
    all_hang = len(hanging) == len(ready)
    for instance in sorted(hanging, key=lambda i: i.ordinal):
        seat = generation.seat_of(instance)
        if not generation.overlaps:
            if not all_hang:
                yield _replace(generation, instance, why(instance), now)
            return
        if seat.short_lives > generation.restart.max:
            if all_hang:
                return
            continue
        start_at = now
        if seat.exited_at is not None and seat.short_lives:
            start_at = seat.exited_at + restart_delay_s(generation.restart, seat)
        if now >= start_at:
            yield StartSuccessor(generation.number, seat.ordinal, instance.key)
        else:
            yield start_at
        return
