"""How seats whose holders crashed are filled again.  Pure, a part of `plan`."""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.ending import end
from gapless.supervisor.model import (
    Action,
    Generation,
    GiveUp,
    Kill,
    Phase,
    Seat,
    Start,
)
from gapless.supervisor.readying import why_not_ready

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 15.0


def refill(generation: Generation, seat: Seat, now: float) -> Iterator[Action | float]:
    """Fill an empty seat, later and later, and at last not any more."""
    if seat.short_lives > generation.restart.max:
        why = f"{seat.short_lives} short lives in a row; the last one {seat.why}"
        yield GiveUp(generation.number, seat.ordinal, why)
        return
    start_at = (seat.ended or now) + restart_delay_s(seat.short_lives)
    if now >= start_at:
        yield Start(generation.number, seat.ordinal)
    else:
        yield start_at


def tend(generation: Generation, now: float) -> Iterator[Action | float]:
    """End who does not become ready in time, and what a dead leader left behind."""
    for instance in generation.instances:
        if instance.phase is Phase.STARTING and not instance.killed:
            deadline = instance.started + generation.ready.timeout_s
            if now >= deadline:
                yield Kill(instance.key, why_not_ready(generation, instance))
            else:
                yield deadline
        if instance.phase is Phase.DRAINING:
            yield from end(generation, instance, now, "its leader is gone")


def restart_delay_s(short_lives: int) -> float:
    """Return how long a seat stays empty after *short_lives* short lives in a row."""
    if short_lives == 0:
        return 0.0
    return float(min(FIRST_DELAY_S * 2 ** min(short_lives - 1, 20), LONGEST_DELAY_S))
