"""How seats whose instances crashed are filled again.  Pure, a part of `plan`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gapless.supervisor.decide.actions import Action, GiveUp, Kill, NameWait, Start
from gapless.supervisor.decide.ending import end_instance
from gapless.supervisor.decide.readiness import (
    becomes_ready,
    crash,
    deadline,
    is_done,
    is_done_well,
    why_not_ready,
)
from gapless.supervisor.memory.model import Generation, Phase, Role, Seat
from gapless.supervisor.memory.spec import Restart

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 15.0
LONG_LIFE_S = 30.0
"""After a life of this length, delays that grow begin anew."""


# --- a first start --------------------------------------------------------------------


def is_tried_again(generation: Generation, generations: Iterable[Generation]) -> bool:
    """Return whether a crash of a generation on trial is no end of it.

    It is a first start: nothing serves that could go on, and its configuration asks for it.
    """
    first = generation.role is Role.TRIAL and generation.restart.first
    return first and all(
        each is generation or each.role is Role.RETIRING for each in generations
    )


def first_failure(generation: Generation) -> str:
    """Return why a first start is not tried any more; empty if it is."""
    for seat in generation.seats:
        if seat.exited_at is None or is_done_well(generation, seat):
            continue
        if is_done(generation, seat):
            return crash(generation)
        if reason := _too_many(generation, seat):
            who = f"instance {seat.ordinal} of generation {generation.number}"
            return f"gave up on {who}: {reason}"
    return ""


def tried_until(generation: Generation) -> float:
    """Return until when a command waits for a first start that has crashed.

    A growing delay need not end: the generation is tried on, and the command is not held.
    """
    limit_s = max(generation.ready.timeout_s, generation.restart.min_uptime_s)
    return generation.since + limit_s


# --- any start ------------------------------------------------------------------------


def until_empty(start: Start, generations: Iterable[Generation]) -> list[Action]:
    """Return the start, or what to do where something is left of another instance.

    That is where state exists once: what a dead leader left behind may write it still, and
    so may what gives way to a first start, which may take its time: that is told once.
    """
    known = tuple(generations)
    own = next(each for each in known if each.number == start.generation)
    if not own.alone:
        return [start]
    first = all(each is own or each.role is Role.RETIRING for each in known)
    for each in known:
        if each is own or (first and each.alone):
            for instance in each.instances:
                if instance.ordinal == start.ordinal:
                    where = f"instance {instance.ordinal} of generation {each.number}"
                    what = f"{where} has not ended: what exists once has one writer"
                    is_told = each is own or own.waits_named
                    return [] if is_told else [NameWait(own.number, what)]
    return [start]


def refill(generation: Generation, seat: Seat, now: float) -> Iterator[Action | float]:
    """Fill an empty seat, after longer and longer delays; give up at last."""
    if reason := _too_many(generation, seat):
        yield GiveUp(generation.number, seat.ordinal, reason)
        return
    start_at = now
    if seat.exited_at is not None:
        start_at = seat.exited_at + restart_delay_s(generation.restart, seat)
    if now >= start_at:
        yield Start(generation.number, seat.ordinal)
    else:
        yield start_at


def _too_many(generation: Generation, seat: Seat) -> str:
    """Return why a seat is not filled any more; empty if it is."""
    if seat.short_lives <= generation.restart.max:
        return ""
    lives = f"{seat.short_lives} short lives in a row"
    return f"{lives}; the last one {seat.exit_reason}"


def end_failed(generation: Generation, now: float) -> Iterator[Action | float]:
    """End instances that are not ready in time, and what a dead leader left behind."""
    for instance in generation.instances:
        if instance.phase is Phase.STARTING and not instance.killed:
            until = deadline(generation, instance)
            if now < until:
                yield until
            elif not becomes_ready(generation, instance, now):
                yield Kill(instance.key, why_not_ready(generation, instance))
        if instance.phase is Phase.DRAINING:
            yield from end_instance(generation, instance, now, "its leader is gone")


def restart_delay_s(restart: Restart, seat: Seat) -> float:
    """Return how long a seat stays empty after its instance ended."""
    if restart.backoff_s > 0:
        times = min(max(seat.quick_exits - 1, 0), 40)
        return float(min(restart.backoff_s * 1.5**times, LONGEST_DELAY_S))
    if restart.delay_s is not None:
        return restart.delay_s
    if seat.short_lives == 0:
        return 0.0
    times = min(seat.short_lives - 1, 20)
    return float(min(FIRST_DELAY_S * 2**times, LONGEST_DELAY_S))
