"""Decide the next actions for one app on one host.

Rule 1: every decision about generations and instances is made in this file.
Rule 2: this file never does anything.  It reads two values and returns a third.

A handoff is not a mode.  It falls out of what each role may do:

    trial     ready in time, every instance        -> Switch: it is proving
              any death, or not ready in time      -> Retire with the reason
    proving   lived `min_healthy_s`                -> Prove: it is serving
              any death before                     -> Revert: standby serves again
    serving   an empty seat                        -> Start, later and later; GiveUp
    standby   nothing is done to it
    retiring  queue empty, handshakes over, quiet  -> Tell, Kill, Close

Retiring generations are told to end one after the other, oldest first: whenever a
socket leaves its SO_REUSEPORT group, all others in it still have somebody who accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from gapless.supervisor.model import (
    Action,
    Ask,
    Close,
    Desired,
    Generation,
    GiveUp,
    Instance,
    Kill,
    Observed,
    Phase,
    Plan,
    Probe,
    Prove,
    Quiesce,
    Rescue,
    Retire,
    Revert,
    Ripen,
    Role,
    Seat,
    Start,
    Switch,
    Tell,
)
from gapless.supervisor.spec import When

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 15.0
LOOK_S = 0.02
"""How often a finishing generation is looked at."""
QUIET_LOOKS = 3
HANDSHAKE_S = 3.0
"""How long instances wait for handshakes; after that the relay waits for them."""
PROBE_PAUSE_S = 0.1
MOST_RETIRING = 3


def plan(desired: Desired, observed: Observed) -> Plan:
    """Return what to do now; no action and no time to wake means all is done."""
    steps = tuple(_steps(desired, observed))
    actions = tuple(step for step in steps if not isinstance(step, float))
    wakes = [step for step in steps if isinstance(step, float)]
    return Plan(actions, min(wakes) if wakes else None)


def restart_delay_s(short_lives: int) -> float:
    """Return how long a seat stays empty after *short_lives* short lives in a row."""
    if short_lives == 0:
        return 0.0
    return float(min(FIRST_DELAY_S * 2 ** min(short_lives - 1, 20), LONGEST_DELAY_S))


class Admission(Enum):
    """What becomes of the wish for a new generation."""

    NOW = "now"  #: it may start
    SUPERSEDE = "supersede"  #: it takes the place of one that has not switched yet
    WAIT = "wait"  #: another one has to come to its end first


def admit(observed: Observed) -> Admission:
    """Tell whether a new generation may start while others are under way."""
    roles = [g.role for g in observed.generations]
    finishing = [
        g for g in observed.generations if g.role is Role.RETIRING and g.served
    ]
    if Role.TRIAL in roles:
        return Admission.SUPERSEDE
    if Role.PROVING in roles or len(finishing) >= MOST_RETIRING:
        return Admission.WAIT
    return Admission.NOW


def _steps(desired: Desired, observed: Observed) -> Iterator[Action | float]:
    """Yield actions, and the times at which time alone changes the answer."""
    now, generations = observed.now, observed.generations
    retiring = [g for g in generations if g.role is Role.RETIRING and g.served]
    successor = any(g.role in (Role.PROVING, Role.SERVING) for g in generations)
    for generation in generations:
        match generation.role:
            case Role.RETIRING:
                next_to_end = not generation.served or generation is retiring[0]
                yield from _finish(generation, now, next_to_end, successor)
            case _ if not desired.running:
                yield Retire(generation.number, "the app was stopped")
            case Role.TRIAL:
                yield from _try(generation, now)
            case Role.PROVING:
                yield from _prove(generation, _standby(observed), now)
            case Role.SERVING:
                yield from _serve(generation, now)
            case Role.STANDBY:
                pass


def _try(generation: Generation, now: float) -> Iterator[Action | float]:
    if death := _death(generation):
        yield Retire(generation.number, death)
        return
    for seat in _empty(generation):
        yield Start(generation.number, seat.ordinal)
    yield from _ripen(generation, now)
    for instance in generation.instances:
        deadline = instance.started + generation.ready.timeout_s
        waits = instance.phase is Phase.STARTING or generation.ready.when is When.HTTP
        if waits and now >= deadline:
            yield Retire(generation.number, _why_not_ready(generation, instance))
            return
        if waits:
            yield deadline
    if _all_ready(generation):
        if generation.ready.when is not When.HTTP or generation.probe is Probe.PASSED:
            yield Switch(generation.number)
        elif generation.probe is Probe.NOT_ASKED:
            ask_at = (generation.probe_ended or now - PROBE_PAUSE_S) + PROBE_PAUSE_S
            yield Ask(generation.number) if now >= ask_at else ask_at


def _prove(
    generation: Generation, standby: Generation | None, now: float
) -> Iterator[Action | float]:
    death = _death(generation)
    proven_at = generation.since + generation.min_healthy_s
    if death and standby is not None:
        yield Revert(generation.number, standby.number, death)
    elif death or now >= proven_at:
        # With nobody to go back to it serves, and its empty seats are filled again.
        yield Prove(generation.number)
    else:
        yield proven_at


def _serve(generation: Generation, now: float) -> Iterator[Action | float]:
    if all(seat.given_up for seat in generation.seats) and not generation.instances:
        yield Retire(generation.number, f"gave up: {_last_words(generation)}")
        return
    for seat in _empty(generation):
        if seat.short_lives > generation.restart.max:
            yield GiveUp(generation.number, seat.ordinal, _gave_up(seat))
            continue
        start_at = (seat.ended or now) + restart_delay_s(seat.short_lives)
        if now >= start_at:
            yield Start(generation.number, seat.ordinal)
        else:
            yield start_at
    yield from _ripen(generation, now)
    for instance in generation.instances:
        if instance.phase is Phase.STARTING and not instance.killed:
            deadline = instance.started + generation.ready.timeout_s
            if now >= deadline:
                yield Kill(instance.key, _why_not_ready(generation, instance))
            else:
                yield deadline
        if instance.phase is Phase.DRAINING:
            yield from _end(generation, instance, now, "its leader is gone")


def _finish(
    generation: Generation, now: float, next_to_end: bool, successor: bool
) -> Iterator[Action | float]:
    if generation.served and not generation.quiesced:
        yield Quiesce(generation.number)
    left_behind = generation.queued or (generation.half_open and generation.served)
    if generation.instances:
        yield now + LOOK_S
        reason = _may_tell(generation, now) if next_to_end else ""
        for instance in generation.instances:
            if reason or instance.told is not None or not instance.leader_alive:
                why = reason or "its leader is gone"
                yield from _end(generation, instance, now, why)
    elif left_behind and successor:
        if not generation.rescued:  # the end of the relay wakes us
            yield Rescue(generation.number)
    elif not generation.rescued:
        yield Close(generation.number)


def _may_tell(generation: Generation, now: float) -> str:
    """Return why the instances may be told to end now, or nothing if they may not."""
    if not generation.served:
        return "it never served"
    if now >= generation.since + generation.stop.drain_timeout_s:
        return f"not idle after {generation.stop.drain_timeout_s:g} s"
    handshakes = generation.half_open and now < generation.since + HANDSHAKE_S
    if generation.queued or handshakes or generation.quiet_looks < QUIET_LOOKS:
        return ""
    return "idle"


def _end(
    generation: Generation, instance: Instance, now: float, reason: str
) -> Iterator[Action | float]:
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


def _ripen(generation: Generation, now: float) -> Iterator[Action | float]:
    for instance in generation.instances:
        if instance.phase is not Phase.STARTING or not instance.leader_alive:
            continue
        lives = instance.started + generation.restart.min_uptime_s
        if _is_ready(generation, instance, now):
            yield Ripen(instance.key)
        elif generation.ready.when is When.AUTO and now < lives:
            yield lives


def _is_ready(generation: Generation, instance: Instance, now: float) -> bool:
    complete = instance.listens >= generation.required
    match generation.ready.when:
        case When.NOTIFY:
            return instance.said_ready
        case When.LISTENING | When.HTTP:
            return complete and bool(instance.listens)
        case When.AUTO if generation.required or instance.listens:
            return complete
        case When.AUTO:
            return now >= instance.started + generation.restart.min_uptime_s


def _why_not_ready(generation: Generation, instance: Instance) -> str:
    limit = f"within {generation.ready.timeout_s:g} s"
    who = f"instance {instance.ordinal} of generation {generation.number}"
    missing = ", ".join(sorted(generation.required - instance.listens))
    if instance.phase is Phase.READY:
        said = generation.probe_said or "no answer"
        return f"the probe of {generation.ready.path} did not pass {limit}: {said}"
    match generation.ready.when:
        case When.NOTIFY:
            return f"{who} did not say that it is ready {limit}"
        case _ if missing and instance.listens:
            others = ", ".join(sorted(instance.listens))
            return f"{who} listens on {others} but not on {missing} {limit}"
        case _ if missing:
            return f"{who} did not listen on {missing} {limit}"
        case _:
            return f"{who} did not listen {limit}"


def _death(generation: Generation) -> str:
    """Return how an instance of a generation that may not lose any has ended."""
    for seat in generation.seats:
        if seat.ended is not None:
            return (
                f"instance {seat.ordinal} of generation {generation.number} {seat.why}"
            )
    return ""


def _gave_up(seat: Seat) -> str:
    return f"{seat.short_lives} short lives in a row; the last one {seat.why}"


def _empty(generation: Generation) -> list[Seat]:
    taken = {i.ordinal for i in generation.instances if i.leader_alive}
    return [s for s in generation.seats if s.ordinal not in taken and not s.given_up]


def _all_ready(generation: Generation) -> bool:
    ready = {i.ordinal for i in generation.instances if i.phase is Phase.READY}
    return ready == {seat.ordinal for seat in generation.seats}


def _standby(observed: Observed) -> Generation | None:
    found = [g for g in observed.generations if g.role is Role.STANDBY]
    return found[-1] if found else None


def _last_words(generation: Generation) -> str:
    return next((s.why for s in generation.seats if s.why), "no instance is left")
