"""When the files of a new generation are compared with those that serve.  Pure.

Once a second while it starts, right before the switch, while it proves itself, and when it
is to end without having served: a stop signal would let some programs write their state
once more over that of the generation that serves, so one with a conflict is killed.

A conflict counts if it was there at two looks: a file that a program opens, writes and
closes may be open in both for a moment.  Some programs listen before they open their
files.  So where those that serve hold state, the switch waits until the new generation
has started indeed: until its processes wait for something, and compute no more.
"""

from __future__ import annotations

from dataclasses import replace

from gapless.supervisor.decide.actions import CompareFiles
from gapless.supervisor.memory.model import FilesSeen, Generation, Instance, Phase, Role

PAUSE_S = 1.0
"""Between two looks while it starts."""
PERSISTS_S = 2.0
"""How long a conflict lasts before it ends a start."""
CONFIRM_S = 0.2
"""How long a conflict lasts before it stops the switch, or brings the old one back."""
FRESH_S = 0.5
"""How old the last look before a switch may be."""
QUIET_PAUSE_S, QUIET_S, MOST_QUIET_S = 0.1, 0.2, 10.0
"""Between two looks at what it computes; how long it computes next to nothing before it
has started; and how long that is waited for."""
LOOK_SHARE = 4
"""A look is followed by a pause of so many times its length: others wait meanwhile."""
QUIET_TICKS = 1
"""So many hundredths of a second between two looks are next to nothing."""


def noted(
    before: FilesSeen,
    conflict: str,
    now: float,
    *,
    rivals: bool,
    cpu_ticks: int | None,
    ready: bool,
    lasting: frozenset[str] = frozenset(),
    took_s: float = 0.0,
) -> FilesSeen:
    """Return what is known after one more look.

    *cpu_ticks* is what its processes have computed so far, or None while one runs;
    *lasting* is what the others held at every look.
    """
    quiet = (
        cpu_ticks is not None
        and before.seen_at is not None
        and abs(cpu_ticks - before.cpu_ticks) <= QUIET_TICKS
    )
    after = replace(
        before,
        seen_at=now,
        rivals=rivals,
        cpu_ticks=cpu_ticks or 0,
        quiet_since=(before.quiet_since or before.seen_at) if quiet else None,
        conflict=conflict,
        lasting=lasting,
        took_s=took_s,
    )
    if conflict != before.conflict:
        after = replace(after, conflict_since=now if conflict else None)
    if ready:
        since = now if before.ready_since is None else before.ready_since
        after = replace(after, ready_since=since, ready_seen_at=now)
    return after


def others(generation: Generation, generations: tuple[Generation, ...]) -> bool:
    """Return whether instances of another generation serve, or have served."""
    return any(
        each.served and each.instances and each.number != generation.number
        for each in generations
    )


def while_starting(generation: Generation, now: float) -> CompareFiles | float | str:
    """Return the next look, or when it is; or the conflict that ends the trial."""
    look = CompareFiles(generation.number)
    pauses = PAUSE_S, PERSISTS_S
    return _watch(generation.files, generation.since, now, look, pauses)


def while_proving(generation: Generation, now: float) -> CompareFiles | float | str:
    """Return the next look, or when it is; or the conflict for which it goes back."""
    look = CompareFiles(generation.number)
    return _watch(generation.files, generation.since, now, look)


def beside(
    generation: Generation, successor: Instance, now: float
) -> CompareFiles | float | str | None:
    """Return None if a successor may take the seat of the instance that hangs.

    Else the next look, or when it is; or the conflict for which it is ended.  It serves as
    soon as it listens, so it is watched as one that proves itself.
    """
    files, look = (
        successor.files,
        CompareFiles(generation.number, successor=successor.key),
    )
    if successor.phase is Phase.READY:
        return _before_switch(files, now, replace(look, ready=True))
    return _watch(files, successor.started, now, look)


def _watch(
    files: FilesSeen,
    began: float,
    now: float,
    look: CompareFiles,
    pauses: tuple[float, float] = (CONFIRM_S, CONFIRM_S),
) -> CompareFiles | float | str:
    seen_at, since = files.seen_at, files.conflict_since
    pause_s, persists_s = pauses
    if since is not None and seen_at is not None and seen_at >= since + persists_s:
        return files.conflict
    pause_s = max(pause_s, LOOK_SHARE * files.took_s)
    look_at = (began if seen_at is None else seen_at) + pause_s
    return look_at if now < look_at else look


def before_switch(
    generation: Generation, now: float
) -> CompareFiles | float | str | None:
    """Return None if it may switch; else the look, when it is, or the conflict."""
    look = CompareFiles(generation.number, ready=True)
    return _before_switch(generation.files, now, look)


def _before_switch(
    files: FilesSeen, now: float, look: CompareFiles
) -> CompareFiles | float | str | None:
    fresh_s = max(FRESH_S, 2 * LOOK_SHARE * files.took_s)
    if files.ready_seen_at is None or now > files.ready_seen_at + fresh_s:
        return look
    if files.conflict_since is not None:
        if files.ready_seen_at >= files.conflict_since + CONFIRM_S:
            return files.conflict
        look_at = files.conflict_since + CONFIRM_S
    elif _has_started(files, now):
        return None
    else:
        pause_s = max(QUIET_PAUSE_S, LOOK_SHARE * files.took_s)
        look_at = files.ready_seen_at + pause_s
    return look_at if now < look_at else look


def _has_started(files: FilesSeen, now: float) -> bool:
    """Return whether all files are open that will be, as far as that can be known."""
    if not files.rivals:
        return True
    assert files.ready_since is not None
    assert files.ready_seen_at is not None
    quiet = files.quiet_since is not None
    settled = (
        quiet
        and files.ready_seen_at
        >= max(files.quiet_since or 0.0, files.ready_since) + QUIET_S
    )
    return settled or now >= files.ready_since + MOST_QUIET_S


def before_end(generation: Generation) -> CompareFiles | None:
    """Return the look without which a generation that never served is not ended."""
    seen_at = generation.files.seen_at
    if generation.role is Role.RETIRING and (
        seen_at is None or seen_at < generation.since
    ):
        return CompareFiles(generation.number)
    return None
