"""How seats whose holders crashed are filled again.  Pure, a part of `plan`."""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.model import Action, Generation, GiveUp, Seat, Start

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


def restart_delay_s(short_lives: int) -> float:
    """Return how long a seat stays empty after *short_lives* short lives in a row."""
    if short_lives == 0:
        return 0.0
    return float(min(FIRST_DELAY_S * 2 ** min(short_lives - 1, 20), LONGEST_DELAY_S))
