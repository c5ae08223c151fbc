"""Decide the next actions for one app on one host.

Rule 1: every decision about generations and instances is made in this file and in its
parts: `readying`, `restarting`, `ending`, `leading` and `recycling`.
Rule 2: none of them ever does anything.  They read two values and return a third.

A handoff is not a mode.  It falls out of what each role may do:

    trial     ready in time, every instance        -> Switch: it is proving
              ready, and somebody else has a say   -> AskPermit first
              any death, or not ready in time      -> Retire with the reason
    proving   lived `min_healthy_s`                -> Prove: it is serving
              any death before                     -> Revert: standby serves again
    serving   an empty seat                        -> Start, later and later; GiveUp
    standby   nothing is done to it
    retiring  queue empty, handshakes over, quiet  -> Tell, Kill, Close

Retiring generations are told to end one after the other, oldest first: whenever a
socket leaves its SO_REUSEPORT group, all others in it still have somebody who accepts.

A recycle (`recycling`) falls out of two more: one generation yields its seats, the other
takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum

from gapless.supervisor.ending import LOOK_S, finish
from gapless.supervisor.leading import look_at, refuse_at
from gapless.supervisor.model import (
    Action,
    Desired,
    Drain,
    Finish,
    Generation,
    Instance,
    Mode,
    Observed,
    Plan,
    Prove,
    Retire,
    Revert,
    Role,
    Start,
    Switch,
)
from gapless.supervisor.readying import (
    all_ready,
    ask,
    death,
    empty,
    is_done,
    late,
    permit,
    ripen,
)
from gapless.supervisor.recycling import recycle
from gapless.supervisor.restarting import refill, tend
from gapless.supervisor.spec import Recycle

__all__ = ["LOOK_S", "Admission", "admit", "plan"]
MOST_RETIRING = 3


def plan(desired: Desired, observed: Observed) -> Plan:
    """Return what to do now; no action and no time to wake means all is done."""
    steps = tuple(_steps(desired, observed))
    actions = tuple(step for step in steps if not isinstance(step, float))
    wakes = [step for step in steps if isinstance(step, float)]
    return Plan(actions, min(wakes) if wakes else None)


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
    busy = Role.PROVING in roles or Role.RECYCLING in roles
    if busy or len(finishing) >= MOST_RETIRING:
        return Admission.WAIT
    return Admission.NOW


def _steps(desired: Desired, observed: Observed) -> Iterator[Action | float]:
    """Yield actions, and the times at which time alone changes the answer."""
    now, generations = observed.now, observed.generations
    retiring = [g for g in generations if g.role is Role.RETIRING and g.served]
    heirs = (Role.PROVING, Role.SERVING)
    successor = any(g.role in heirs for g in generations)
    for generation in generations:
        yield from _drain(generation, desired, now)
        match generation.role:
            case Role.RETIRING:
                next_to_end = not generation.served or generation is retiring[0]
                yield from finish(
                    generation, now, next_to_end=next_to_end, successor=successor
                )
            case _ if not desired.running:
                yield Retire(generation.number, "the app was stopped")
            case Role.TRIAL:
                yield from _try(generation, now)
            case Role.PROVING:
                yield from _prove(generation, _newest(observed, Role.STANDBY), now)
            case Role.SERVING:
                yield from _serve(generation, now)
            case Role.RECYCLING:
                yielding = _newest(observed, Role.YIELDING)
                assert yielding is not None
                lead = _lead_of(generation, desired)
                yield from recycle(generation, yielding, lead, now)
            case Role.STANDBY | Role.YIELDING:
                pass


def _drain(
    generation: Generation, desired: Desired, now: float
) -> Iterator[Action | float]:
    """Tell instances what they are to do with new requests."""
    told = [i for i in generation.instances if _is_told(generation, i)]
    lead = _lead_of(generation, desired)
    if desired.draining and lead.lead_s > 0:
        yield from _lead(generation, told, lead, now)
        return
    if desired.draining:
        mode = Mode.RECYCLE
    elif generation.role is Role.RETIRING:
        mode = Mode.HANDOFF
    elif generation.role is Role.YIELDING:
        return  # `recycling` tells them one by one
    else:
        mode = Mode.SERVING
    for instance in told:
        if instance.mode is not mode:
            yield Drain(instance.key, mode)


def _is_told(generation: Generation, instance: Instance) -> bool:
    """Tell whether an instance lives, and has something to be told about."""
    if generation.role is Role.RETIRING and not generation.served:
        # It has no requests; one that counts may have procedures.
        return instance.told is None and instance.leader_alive and instance.speaks
    return instance.told is None and instance.leader_alive


def _lead_of(generation: Generation, desired: Desired) -> Recycle:
    """Return how balancers are told before: as the host was told, else as the app says."""
    if not desired.draining or desired.lead_s is None:
        return generation.recycle
    return replace(generation.recycle, lead_s=desired.lead_s)


def _lead(
    generation: Generation, told: list[Instance], lead: Recycle, now: float
) -> Iterator[Action | float]:
    """Let a host's instances tell the balancer before they refuse."""
    for instance in told:
        if generation.role is Role.RETIRING:
            if instance.mode in (Mode.SERVING, Mode.LEAVING):
                yield Drain(instance.key, Mode.HANDOFF)
        elif instance.mode is Mode.LEAVING:
            if generation.role is Role.YIELDING:
                continue  # `recycling` leads it already
            at = refuse_at(instance, generation.instances, lead)
            yield Drain(instance.key, Mode.RECYCLE) if now >= at else look_at(now, at)
        elif instance.mode is not Mode.RECYCLE:
            yield Drain(instance.key, Mode.LEAVING)


def _try(generation: Generation, now: float) -> Iterator[Action | float]:
    overdue = late(generation, now)
    why = death(generation) or (overdue if isinstance(overdue, str) else "")
    if why:
        yield Retire(generation.number, why)
        return
    if isinstance(overdue, float):
        yield overdue
    for seat in empty(generation):
        yield Start(generation.number, seat.ordinal)
    yield from ripen(generation, now)
    if all_ready(generation):
        asked = ask(generation, now)
        if asked is not None:
            yield asked
            return
        match permit(generation, now):
            case None:
                yield Switch(generation.number)
            case str(why):
                yield Retire(generation.number, why)
            case first:
                yield first


def _prove(
    generation: Generation, standby: Generation | None, now: float
) -> Iterator[Action | float]:
    crash = death(generation)
    proven_at = generation.since + generation.min_healthy_s
    if crash and standby is not None:
        yield Revert(generation.number, standby.number, crash)
    elif crash or now >= proven_at:
        # With nobody to go back to it serves, and its empty seats are filled again.
        yield Prove(generation.number)
    else:
        yield proven_at


def _serve(generation: Generation, now: float) -> Iterator[Action | float]:
    over = all(s.given_up or is_done(generation, s) for s in generation.seats)
    if over and not generation.instances:
        if any(seat.given_up for seat in generation.seats):
            yield Retire(generation.number, f"gave up: {_last_words(generation)}")
        else:
            yield Finish(generation.number)
        return
    for seat in empty(generation):
        yield from refill(generation, seat, now)
    yield from ripen(generation, now)
    yield from tend(generation, now)


def _newest(observed: Observed, role: Role) -> Generation | None:
    found = [g for g in observed.generations if g.role is role]
    return found[-1] if found else None


def _last_words(generation: Generation) -> str:
    return next((s.why for s in generation.seats if s.why), "no instance is left")
