"""When the files of a generation on trial are compared with those that serve.  Pure.

Once a second while it starts, right before the switch, and when it is to end without
having served: a stop signal would let some programs write their state once more over that
of the generation that serves, so one with a conflict is killed.

A conflict counts if it was there at two looks: a file that a program opens, writes and
closes may be open in both for a moment.
"""

from __future__ import annotations

from gapless.supervisor.decide.actions import CompareFiles
from gapless.supervisor.memory.model import Generation, Role

PAUSE_S = 1.0
"""Between two looks while it starts."""
PERSISTS_S = 3.0
"""How long a conflict lasts before it ends a start."""
CONFIRM_S = 0.2
"""How long a conflict lasts before it stops the switch."""
FRESH_S = 0.5
"""How old the last look before a switch may be."""


def others(generation: Generation, generations: tuple[Generation, ...]) -> bool:
    """Return whether instances of another generation serve, or have served."""
    return any(
        each.served and each.instances and each.number != generation.number
        for each in generations
    )


def while_starting(generation: Generation, now: float) -> CompareFiles | float | str:
    """Return the next look, or when it is; or the conflict that ends the trial."""
    seen_at, since = generation.files_seen_at, generation.conflict_since
    if since is not None and seen_at is not None and seen_at >= since + PERSISTS_S:
        return generation.conflict
    look_at = (generation.since if seen_at is None else seen_at) + PAUSE_S
    return look_at if now < look_at else CompareFiles(generation.number)


def before_switch(
    generation: Generation, now: float
) -> CompareFiles | float | str | None:
    """Return None if it may switch; else the look, when it is, or the conflict."""
    seen_at, since = generation.ready_files_seen_at, generation.conflict_since
    if seen_at is None or now > seen_at + FRESH_S:
        return CompareFiles(generation.number, ready=True)
    if since is None:
        return None
    if seen_at >= since + CONFIRM_S:
        return generation.conflict
    look_at = since + CONFIRM_S
    return look_at if now < look_at else CompareFiles(generation.number, ready=True)


def before_end(generation: Generation) -> CompareFiles | None:
    """Return the look without which a generation that never served is not ended."""
    seen_at = generation.files_seen_at
    if generation.role is Role.RETIRING and (
        seen_at is None or seen_at < generation.since
    ):
        return CompareFiles(generation.number)
    return None
