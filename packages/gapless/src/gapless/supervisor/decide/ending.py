"""How generations and instances come to their end.  Pure, a part of `plan`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gapless.supervisor.decide.actions import (
    Action,
    CloseGeneration,
    Kill,
    Quiesce,
    SendStop,
    StartRelay,
    TakeOver,
)
from gapless.supervisor.decide.files.comparison import before_end
from gapless.supervisor.memory.model import Generation, Instance, Mode, Takeover

CHECK_S = 0.02
"""How often the kernel's evidence about a finishing generation is read."""
TAKING_S = 0.1
"""The same while the relay takes its connections, and says by itself how far it is."""
IDLE_CHECKS = 3
"""A generation counts as idle after so many checks in a row found nothing under way."""
KILL_AGAIN_S = 0.5
"""How long what was started while the others were killed may live on."""
ANSWER_S = 1.0
"""How long a generation that never served may take to say what it runs."""
MOVES_S = 5.0
"""A connection moves as long as its bytes did within this time."""
HANDSHAKE_S = 3.0
"""How long instances wait for handshakes; after that a relay waits for them."""


def next_to_end(
    retiring: Sequence[Generation], now: float, *, successor: bool
) -> Generation | None:
    """Return which of the generations that retire may get the stop signal now, if any.

    Only one of them ends at a time.  What keeps a process alive beyond its
    `kill_timeout_s` keeps no other one: all that a connection could meet in the moment in
    which a socket leaves is a queue that is relayed when that process is gone.
    """
    for generation in retiring:
        if not _accepts(generation) and _are_soon_gone(generation, now):
            return generation
    for generation in retiring:
        if _accepts(generation) and _stop_reason(generation, now, successor=successor):
            return generation
    return None


def _accepts(generation: Generation) -> bool:
    """Return whether an instance lives that was not told to end."""
    return any(i.stop_sent_at is None and i.leader_alive for i in generation.instances)


def _are_soon_gone(generation: Generation, now: float) -> bool:
    """Return whether instances are there that end, and were given time for that."""
    told = (i.stop_sent_at for i in generation.instances if i.stop_sent_at is not None)
    until = max(told, default=now) + generation.stop.kill_timeout_s
    return bool(generation.instances) and now < until


def finish(
    generation: Generation,
    now: float,
    *,
    may_end: bool,
    successor: bool,
    beside: bool = False,
) -> Iterator[Action | float]:
    """Let a generation finish what it began, then end it.

    *beside*: instances of another one serve, or have served.
    """
    if beside and not generation.served and generation.instances:
        look = before_end(generation)
        if look is not None:
            yield look
            return
        if generation.files.conflict:
            for instance in generation.instances:
                yield from end_instance(generation, instance, now, "")
            return
    if generation.served and not generation.quiesced:
        yield Quiesce(generation.number)
    left_behind = generation.queued or (generation.half_open and generation.served)
    if generation.instances:
        yield now + (TAKING_S if _is_being_taken(generation) else CHECK_S)
        if successor and _is_to_be_taken_over(generation):
            yield TakeOver(generation.number)
        reason = ""
        if may_end:
            reason = _stop_reason(generation, now, successor=successor)
        for instance in generation.instances:
            is_ending = instance.stop_sent_at is not None or not instance.leader_alive
            if reason or is_ending:
                why = reason or "its leader is gone"
                yield from end_instance(generation, instance, now, why)
    elif left_behind and successor:
        if not generation.relayed:  # the end of the relay wakes the supervisor
            yield StartRelay(generation.number)
    elif not generation.relayed:
        yield CloseGeneration(generation.number)


def _is_to_be_taken_over(generation: Generation) -> bool:
    """Return whether its connections are there to be taken, and nobody takes them yet."""
    ending = any(i.stop_sent_at is not None for i in generation.instances)
    wanted = generation.takes_over and generation.served and not generation.unseen
    begun = generation.takeover is not Takeover.NONE
    return bool(wanted and generation.connections and not (begun or ending))


def _is_being_taken(generation: Generation) -> bool:
    """Return whether nothing is decided before the relay has its connections."""
    serving = all(i.stop_sent_at is None for i in generation.instances)
    return serving and generation.takeover is Takeover.UNDER_WAY


def takes_from(generation: Generation, instance: Instance) -> bool:
    """Return whether connections of one instance are to be taken, and are not yet."""
    wanted = generation.takes_over and not generation.unseen and instance.connections
    return bool(wanted and instance.takeover is Takeover.NONE)


def _stop_reason(generation: Generation, now: float, *, successor: bool) -> str:
    """Return why the instances may get the stop signal now; empty if they may not."""
    if not (generation.served or _runs_procedures(generation, now)):
        return "it never served"
    if now >= generation.since + generation.stop.drain_timeout_s:
        return time_is_over(generation)
    if not generation.served:
        return ""
    handshakes = generation.half_open and now < generation.since + HANDSHAKE_S
    if generation.queued or handshakes or generation.idle_checks < IDLE_CHECKS:
        return ""
    if successor and _is_to_be_taken_over(generation):
        return ""
    if successor and generation.takeover is Takeover.UNDER_WAY:
        return ""  # a connection is with its process, or is at its last exchange
    if generation.active_connections and successor:
        return ""  # the answer to the next request there closes the connection
    return "idle"


def time_is_over(generation: Generation) -> str:
    """Return why a generation is stopped at the end of its drain."""
    limit = f"{generation.stop.drain_timeout_s:g} s"
    if generation.unseen:
        return f"its {limit} are over, and its connections cannot be seen"
    return f"not idle after {limit}"


def _runs_procedures(generation: Generation, now: float) -> bool:
    """Return whether instances that never served may run procedures all the same."""
    idle = not generation.busy and generation.idle_checks >= IDLE_CHECKS
    if generation.watches_calls and not idle:
        return True
    in_time = now < generation.since + ANSWER_S
    return any(
        _was_not_told_to_drain(instance)
        or instance.owed > instance.silent
        or (instance.silent and in_time)
        for instance in generation.instances
        if instance.leader_alive
    )


def _was_not_told_to_drain(instance: Instance) -> bool:
    """Return whether an instance counts its procedures, and has not been asked yet."""
    serving = instance.mode is Mode.SERVING and instance.stop_sent_at is None
    return instance.counts_itself and serving


def _moves_until(generation: Generation, instance: Instance) -> float:
    """Return until when what still moves on its connections keeps an instance alive."""
    drains_since = max(generation.since, instance.mode_since)
    drained_at = drains_since + generation.stop.drain_timeout_s
    return min(instance.moved_at + MOVES_S, drained_at)


def end_instance(
    generation: Generation, instance: Instance, now: float, reason: str
) -> Iterator[Action | float]:
    """End an instance: the stop signal, then SIGKILL when its time is up.

    One that must not write its state once more, over that of another, is killed at once.
    """
    if conflict := generation.files.conflict:
        if instance.killed:
            yield _kill_again(generation, instance, now)
        else:
            yield Kill(instance.key, conflict)
        return
    signalled = instance.leader_alive or instance.orphans_signalled
    if instance.stop_sent_at is None or not signalled:
        yield SendStop(instance.key, reason)
        return
    deadline = max(
        instance.stop_sent_at + generation.stop.kill_timeout_s,
        _moves_until(generation, instance),
    )
    if now < deadline:
        yield min(deadline, now + CHECK_S)
    elif not instance.killed:
        limit = f"{generation.stop.kill_timeout_s:g} s"
        yield Kill(instance.key, f"still there {limit} after its stop signal")
    else:
        yield _kill_again(generation, instance, now)


def _kill_again(
    generation: Generation, instance: Instance, now: float
) -> Action | float:
    """Return what is done about processes that live on after a kill."""
    if generation.stop.tree and now >= (instance.kill_sent_at or 0) + KILL_AGAIN_S:
        # What was started while the others were killed lives still.
        return Kill(instance.key, "a process of it lives still")
    return now + CHECK_S
