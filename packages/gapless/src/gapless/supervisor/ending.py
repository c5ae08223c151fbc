"""How generations and instances come to their end.  Pure, a part of `plan`."""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.model import (
    Action,
    Close,
    Generation,
    Instance,
    Kill,
    Mode,
    Quiesce,
    Rescue,
    Tell,
)

LOOK_S = 0.02
"""How often a finishing generation is looked at."""
QUIET_LOOKS = 3
ANSWER_S = 1.0
"""How long those that never served are waited for to tell what they run."""
HANDSHAKE_S = 3.0
"""How long instances wait for handshakes; after that the relay waits for them."""


def finish(
    generation: Generation, now: float, *, next_to_end: bool, successor: bool
) -> Iterator[Action | float]:
    """Let a generation finish what it began, then end it."""
    if generation.served and not generation.quiesced:
        yield Quiesce(generation.number)
    left_behind = generation.queued or (generation.half_open and generation.served)
    if generation.instances:
        yield now + LOOK_S
        reason = _may_tell(generation, now, successor=successor) if next_to_end else ""
        for instance in generation.instances:
            if reason or instance.told is not None or not instance.leader_alive:
                why = reason or "its leader is gone"
                yield from end(generation, instance, now, why)
    elif left_behind and successor:
        if not generation.rescued:  # the end of the relay wakes us
            yield Rescue(generation.number)
    elif not generation.rescued:
        yield Close(generation.number)


def _may_tell(generation: Generation, now: float, *, successor: bool) -> str:
    """Return why the instances may be told to end now, or nothing if they may not."""
    if not (generation.served or _works(generation, now)):
        return "it never served"
    if now >= generation.since + generation.stop.drain_timeout_s:
        return f"not idle after {generation.stop.drain_timeout_s:g} s"
    if not generation.served:
        return ""
    handshakes = generation.half_open and now < generation.since + HANDSHAKE_S
    if generation.queued or handshakes or generation.quiet_looks < QUIET_LOOKS:
        return ""
    if generation.lively and successor:
        return ""  # who asks once more there is sent to the successor by the answer
    return "idle"


def _works(generation: Generation, now: float) -> bool:
    """Tell whether instances that never served run procedures all the same."""
    quiet = not generation.busy and generation.quiet_looks >= QUIET_LOOKS
    if generation.outgoing and not quiet:
        return True
    patient = now < generation.since + ANSWER_S
    return any(
        (instance.speaks and instance.mode is Mode.SERVING and instance.told is None)
        or instance.owed > instance.silent
        or (instance.silent and patient)
        for instance in generation.instances
        if instance.leader_alive
    )


def end(
    generation: Generation, instance: Instance, now: float, reason: str
) -> Iterator[Action | float]:
    """End an instance: the stop signal, then SIGKILL when its time is up."""
    if instance.told is None or not (instance.leader_alive or instance.orphans_told):
        yield Tell(instance.key, reason)
        return
    deadline = instance.told + generation.stop.kill_timeout_s
    if now < deadline:
        yield min(deadline, now + LOOK_S)
    elif not instance.killed:
        limit = f"{generation.stop.kill_timeout_s:g} s"
        yield Kill(instance.key, f"still there {limit} after its stop signal")
    else:
        yield now + LOOK_S
