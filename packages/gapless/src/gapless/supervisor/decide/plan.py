"""Decide the next actions for one app on one host.

Rule 1: every decision about generations and instances is made in this file and in its
parts: `readiness`, `restarts`, `liveness`, `ending`, `lead_time`, `recycle` and, between
apps, `order`.
Rule 2: none of them does anything.  They read two values and return a third.

A handoff is not a mode.  It follows from what each role may do:

    trial     ready in time, every instance         -> Switch: it is proving
              a first start, if that is asked for   -> Start, after a delay; TryOn
              ready, and a permit is needed         -> AskPermit first
              shares state with what serves         -> Retire with the reason
              any crash, or not ready in time       -> Retire with the reason
    proving   lived `min_healthy_s`                 -> MarkProven: it is serving
              any crash before                      -> Revert: standby serves again
    any       it is held: `after` (`order`), files  -> nothing yet
    serving   an empty seat                         -> Start, after a delay; GiveUp
              an instance that hangs                -> StartSuccessor, then Replace
    standby   nothing is done to it
    retiring  queue empty, no handshake, idle       -> SendStop, Kill, CloseGeneration

Retiring generations end one at a time, the oldest first of those that may: when a socket
leaves its SO_REUSEPORT group, all others in the group still have an instance that accepts.

A recycle (`recycle`) has two more roles: one generation yields its seats, the other takes
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum

from gapless.supervisor.decide.actions import (
    STOPPED,
    Action,
    Drain,
    Kill,
    MarkFinished,
    MarkProven,
    Plan,
    Replace,
    Retire,
    Revert,
    SendStop,
    Start,
    StartSuccessor,
    Switch,
    TryOn,
)
from gapless.supervisor.decide.ending import finish, next_to_end
from gapless.supervisor.decide.files import comparison
from gapless.supervisor.decide.lead_time import next_check, refuse_at
from gapless.supervisor.decide.liveness import replace_hanging
from gapless.supervisor.decide.readiness import (
    all_ready,
    crash,
    empty_seats,
    is_done,
    is_probed,
    leader_sought,
    mark_ready,
    narrow,
    next_probe,
    not_yet_served,
    overdue,
    permission,
    waits,
)
from gapless.supervisor.decide.recycle import recycle
from gapless.supervisor.decide.restarts import (
    end_failed,
    first_failure,
    is_tried_again,
    refill,
    tried_until,
    until_empty,
)
from gapless.supervisor.memory.model import (
    Desired,
    Generation,
    Instance,
    Mode,
    Observed,
    Role,
)
from gapless.supervisor.memory.spec import Recycle

MOST_RETIRING = 3
"""How many generations may drain before one more begins: each has its memory still."""


def plan(desired: Desired, observed: Observed) -> Plan:
    """Return what to do now; an empty plan without a time to wake means nothing is left."""
    generations = observed.generations
    reading = {each.number for each in generations if each.reads_files}
    steps: list[Action | float] = []
    for step in _steps(desired, observed):
        if isinstance(step, Start | StartSuccessor) and step.generation in reading:
            continue  # until they are read it is looked at again and again
        if isinstance(step, Start):
            steps += until_empty(step, generations)
        else:
            steps.append(step)
    early = _not_spawned(observed)
    starts = [step for step in steps if isinstance(step, Start)]
    held = [] if desired.may_start is None else starts[desired.may_start :]
    actions = tuple(
        step
        for step in steps
        # A signal counts as sent when it was sent.  The keeper's word that an instance
        # runs is an event, and the plan is made again then.
        if not (
            isinstance(step, float)
            or (isinstance(step, SendStop | Kill | Replace) and step.key in early)
            or step in held
        )
    )
    wakes = [step for step in steps if isinstance(step, float)]
    return Plan(actions, min(wakes) if wakes else None, starts_held=bool(held))


def _not_spawned(observed: Observed) -> set[str]:
    """Return the instances that the keeper was asked to start, and has not yet."""
    return {
        instance.key
        for generation in observed.generations
        for instance in generation.instances
        if not instance.spawned and instance.leader_alive
    }


class Admission(Enum):
    """Whether a requested generation may start."""

    NOW = "now"  #: it may start
    SUPERSEDE = "supersede"  #: it replaces one that has not switched yet
    WAIT = "wait"  #: another one has to prove itself first
    DRAINS = "drains"  #: as many drain as may: one of them has to end first


def admit(observed: Observed, *, back: bool = False) -> Admission:
    """Return whether a new generation may start while others are under way.

    One that goes *back* to an earlier release waits for none that drains, nor does one
    where nothing serves.
    """
    roles = [g.role for g in observed.generations]
    finishing = [
        g for g in observed.generations if g.role is Role.RETIRING and g.served
    ]
    if Role.TRIAL in roles:
        return Admission.SUPERSEDE
    if Role.PROVING in roles or Role.RECYCLING in roles:
        return Admission.WAIT
    waits = Role.SERVING in roles and not back
    if waits and len(finishing) >= MOST_RETIRING:
        return Admission.DRAINS
    return Admission.NOW


def _steps(desired: Desired, observed: Observed) -> Iterator[Action | float]:
    """Yield actions, and the times at which time alone changes the answer."""
    now, generations = observed.now, observed.generations
    retiring = [g for g in generations if g.role is Role.RETIRING and g.served]
    successors = (Role.PROVING, Role.SERVING)
    successor = any(g.role in successors for g in generations)
    ends = next_to_end(retiring, now, successor=successor)
    goes_back = any(g.role is Role.YIELDING and g.failure for g in generations)
    for generation in generations:
        beside = comparison.others(generation, generations)
        if desired.draining and is_probed(generation) and not goes_back:
            yield from _tell(generation, Mode.SERVING)
        else:
            yield from _drain(generation, desired, now)
        match generation.role:
            case Role.RETIRING:
                yield from finish(
                    generation,
                    now,
                    may_end=not generation.served or generation is ends,
                    successor=successor,
                    beside=beside,
                )
            case _ if not desired.running:
                yield Retire(generation.number, STOPPED)
            case _ if generation.held:
                pass
            case Role.TRIAL:
                again = is_tried_again(generation, generations)
                yield from _try(generation, now, beside=beside, again=again)
            case Role.PROVING:
                yield from _prove(generation, _newest(observed, Role.STANDBY), now)
            case Role.SERVING:
                steady = all(
                    g is generation or g.role is Role.RETIRING for g in generations
                )
                yield from _serve(generation, now, steady=steady)
            case Role.RECYCLING:
                yielding = _newest(observed, Role.YIELDING)
                assert yielding is not None
                lead = _lead_settings(generation, desired)
                yield from recycle(generation, yielding, lead, now)
            case Role.YIELDING if any(g.held for g in generations):
                yield from _keep_up(generation, now)  # it gives up no seat yet
            case Role.STANDBY | Role.YIELDING:
                pass


# --- what instances are told about new requests ---------------------------------------


def _drain(
    generation: Generation, desired: Desired, now: float
) -> Iterator[Action | float]:
    """Tell instances what to do with new requests."""
    lead = _lead_settings(generation, desired)
    if desired.draining and lead.lead_s > 0:
        yield from _leave_service(generation, lead, now)
        return
    if desired.draining:
        mode = Mode.RECYCLE
    elif generation.role is Role.RETIRING:
        mode = Mode.HANDOFF
    elif generation.role is Role.YIELDING:
        return  # `recycle` tells them one by one
    else:
        mode = Mode.SERVING
    yield from _tell(generation, mode)


def _tell(generation: Generation, mode: Mode) -> Iterator[Action]:
    """Tell the instances of a generation one thing, if they do not know it yet."""
    for instance in generation.instances:
        if instance.mode is not mode and _can_be_told(generation, instance):
            yield Drain(instance.key, mode)


def _can_be_told(generation: Generation, instance: Instance) -> bool:
    """Return whether an instance lives, and the mode concerns it."""
    lives = instance.stop_sent_at is None and instance.leader_alive
    if generation.role is Role.RETIRING and not generation.served:
        # It has no requests; one that counts may have procedures.
        return lives and instance.counts_itself
    return lives


def _lead_settings(generation: Generation, desired: Desired) -> Recycle:
    """Return how long balancers are told before: as the host was told, or the app says."""
    if not desired.draining or desired.lead_s is None:
        return generation.recycle
    return replace(generation.recycle, lead_s=desired.lead_s)


def _leave_service(
    generation: Generation, lead: Recycle, now: float
) -> Iterator[Action | float]:
    """Let a host's instances tell the balancer before they refuse requests."""
    for instance in generation.instances:
        if not _can_be_told(generation, instance):
            continue
        if generation.role is Role.RETIRING:
            if instance.mode in (Mode.SERVING, Mode.LEAVING):
                yield Drain(instance.key, Mode.HANDOFF)
        elif instance.mode is Mode.LEAVING:
            if generation.role is Role.YIELDING:
                continue  # `recycle` does that already
            at = refuse_at(instance, generation.instances, lead)
            if now >= at:
                yield Drain(instance.key, Mode.RECYCLE)
            else:
                yield next_check(now, at)
        elif instance.mode is not Mode.RECYCLE:
            yield Drain(instance.key, Mode.LEAVING)


# --- roles ----------------------------------------------------------------------------


def _try(
    generation: Generation, now: float, *, beside: bool, again: bool
) -> Iterator[Action | float]:
    """Bring a generation to its switch; *beside* others that serve, if there are any.

    What crashes is tried *again*, or the trial ends.
    """
    late = overdue(generation, now)
    inside = narrow(generation, now)
    files = comparison.while_starting(generation, now) if beside else None
    crashed = crash(generation)
    if again and not all_ready(generation) and (crashed or isinstance(late, str)):
        yield from _try_again(generation, now, crashed or str(late))
        return
    crashed = "" if again else crashed  # they are back
    failures = [each for each in (inside, late, files) if isinstance(each, str)]
    if failure := crashed or next(iter(failures), ""):
        yield Retire(generation.number, failure)
        return
    for step in (inside, late, files, waits(generation, now)):
        if step is not None and not isinstance(step, str):
            yield step
    for seat in empty_seats(generation):
        yield Start(generation.number, seat.ordinal)
    yield from mark_ready(generation, now)
    if all_ready(generation):
        probe = next_probe(generation, now)
        if probe is not None:
            yield probe
            return
        match permission(generation, now):
            case None:
                yield _switch(generation, now, beside=beside)
            case str(refusal):
                yield Retire(generation.number, refusal)
            case first:
                yield first


def _try_again(
    generation: Generation, now: float, reason: str
) -> Iterator[Action | float]:
    """Fill the seats of a first start that crashed, while its client waits."""
    until = tried_until(generation)
    if failure := first_failure(generation):
        yield Retire(generation.number, failure)
    elif now >= until:
        yield TryOn(generation.number, reason)
    else:
        yield until
        yield from _keep_up(generation, now)


def _switch(generation: Generation, now: float, *, beside: bool) -> Action | float:
    """Return the switch, or what has to be known before it."""
    missing = comparison.before_switch(generation, now) if beside else None
    if missing is None:
        return Switch(generation.number)
    if isinstance(missing, str):
        return Retire(generation.number, missing)
    return missing


def _prove(
    generation: Generation, standby: Generation | None, now: float
) -> Iterator[Action | float]:
    failure = crash(generation)
    sought = leader_sought(generation, now)
    if isinstance(sought, str):
        failure = failure or sought
    proven_at = generation.since + generation.min_healthy_s
    if standby is not None and (later := not_yet_served(generation, now)):
        proven_at = max(proven_at, later)
    if isinstance(sought, float):
        proven_at = max(proven_at, sought)
    if standby is not None and generation.files.rivals:
        # It may have opened its files only now.
        files = comparison.while_proving(generation, now)
        if not isinstance(files, str):
            yield files
        failure = failure or (files if isinstance(files, str) else "")
    inside = narrow(generation, now)
    if isinstance(inside, str):
        failure = failure or inside
    elif inside is not None:
        yield inside
    if failure and standby is not None:
        yield Revert(generation.number, standby.number, failure)
    elif failure or now >= proven_at:
        # Without a generation to go back to, it serves and its empty seats are filled.
        yield MarkProven(generation.number)
    else:
        yield proven_at
        if standby is not None and (told := waits(generation, now)):
            yield told


def _serve(
    generation: Generation, now: float, *, steady: bool
) -> Iterator[Action | float]:
    over = all(s.given_up or is_done(generation, s) for s in generation.seats)
    if over and not generation.instances:
        if any(seat.given_up for seat in generation.seats):
            yield Retire(generation.number, f"gave up: {_last_exit(generation)}")
        else:
            yield MarkFinished(generation.number)
        return
    yield from _keep_up(generation, now)
    inside = narrow(generation, now)
    if inside is not None and not isinstance(inside, str):
        yield inside
    yield from replace_hanging(generation, now, steady=steady)


def _keep_up(generation: Generation, now: float) -> Iterator[Action | float]:
    """Fill the seats of a generation that serves."""
    for seat in empty_seats(generation):
        yield from refill(generation, seat, now)
    yield from mark_ready(generation, now)
    yield from end_failed(generation, now)


def _newest(observed: Observed, role: Role) -> Generation | None:
    found = [g for g in observed.generations if g.role is role]
    return found[-1] if found else None


def _last_exit(generation: Generation) -> str:
    reasons = (seat.exit_reason for seat in generation.seats if seat.exit_reason)
    return next(reasons, "no instance is left")
