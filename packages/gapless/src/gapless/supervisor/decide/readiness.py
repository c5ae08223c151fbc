"""What makes a generation ready, and what it lacks.  Pure, a part of `plan`."""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.decide.actions import (
    Action,
    AskPermit,
    MarkReady,
    NameWait,
    SendProbe,
)
from gapless.supervisor.decide.addresses import DATAGRAMS
from gapless.supervisor.decide.lookalikes import without_like
from gapless.supervisor.memory.model import (
    Generation,
    Instance,
    Permit,
    Phase,
    Probe,
    Role,
    Seat,
)
from gapless.supervisor.memory.spec import When

PROBE_PAUSE_S = 0.1
NOBODY = "nothing listens that can be asked"
LOOK_S = 0.1
"""How often it is looked for who leads an instance."""
ASKED_S = 1.0
"""After so long a program that bound a socket to ask whether it may has closed it."""
TELL_S = 1.0
"""After so long it is told what an instance lacks that listens on other addresses."""
PERMIT_S = 15.0
"""A host that does not answer for so long has lost its slot, or its agent has died."""


def mark_ready(generation: Generation, now: float) -> Iterator[Action | float]:
    """Count as ready what is ready, or return when to check again."""
    for instance in generation.instances:
        if not _may_become_ready(instance):
            continue
        old_at = instance.started + generation.restart.min_uptime_s
        if _has_all(generation, instance, now):
            yield MarkReady(instance.key)
        elif generation.ready.when is When.AUTO and now < old_at:
            yield old_at


def missing(generation: Generation, instance: Instance) -> frozenset[str]:
    """Return the addresses on which an instance is expected to listen, and does not."""
    expected = generation.required | generation.seat_of(instance).expected
    return without_like(expected - instance.covers, instance.listens)


def _asks_for_all(generation: Generation) -> bool:
    """Return whether an instance is ready only when it listens on all that it should.

    A configuration that names its addresses, or asks for `listening`, says what matters.
    """
    named = bool(generation.required)
    return not named and generation.ready.when not in (When.NOTIFY, When.LISTENING)


def becomes_ready(generation: Generation, instance: Instance, now: float) -> bool:
    """Return whether an instance that starts is to be marked as ready now."""
    return _may_become_ready(instance) and _has_all(generation, instance, now)


def _may_become_ready(instance: Instance) -> bool:
    lives = instance.leader_alive and instance.spawned
    return lives and instance.phase is Phase.STARTING and instance.detached_at is None


def _has_all(generation: Generation, instance: Instance, now: float) -> bool:
    lacks = missing(generation, instance)
    listened = generation.seat_of(instance).listened  # the one before, anywhere
    if not _asks_for_all(generation):
        # What else it lacks is waited for while it proves itself (`not_yet_served`).
        lacks &= generation.required
    elif instance.look_at is not None:
        # A wider address may be a question, and is closed again.
        lacks |= without_like(generation.seat_of(instance).expected, instance.listens)
    match generation.ready.when:
        case When.NOTIFY:
            return instance.notified_ready
        case When.LISTENING | When.HTTP:
            return bool(instance.listens) and not lacks
        case When.AUTO if lacks or instance.listens or listened:
            return bool(instance.listens) and not lacks
        case When.AUTO:
            return now >= instance.started + generation.restart.min_uptime_s


def deadline(generation: Generation, instance: Instance) -> float:
    """Return until when an instance has time to become ready.

    One that may be ready because it has lived for `min_uptime_s` lives that long, however
    short the time limit is.
    """
    limit_s = generation.ready.timeout_s
    if generation.ready.when is When.AUTO and not missing(generation, instance):
        limit_s = max(limit_s, generation.restart.min_uptime_s)
    return max(instance.started + limit_s, generation.not_late_before)


def why_not_ready(generation: Generation, instance: Instance) -> str:
    """Return what an instance lacked when its time was up."""
    limit = f"within {generation.ready.timeout_s:g} s"
    who = f"instance {instance.ordinal} of generation {generation.number}"
    lacks = missing(generation, instance)
    where = ", ".join(sorted(lacks))
    if instance.phase is Phase.READY:
        answer = generation.probe_answer or "no answer"
        if not _can_be_asked(generation):
            answer = NOBODY
        return f"the probe of {generation.ready.path} did not pass {limit}: {answer}"
    if instance.detached_at is not None:
        return (
            f"{who} ended with code 0 and left processes behind, none of which listens"
            f" {limit}"
        )
    match generation.ready.when:
        case When.NOTIFY:
            return f"{who} did not say that it is ready {limit}"
        case _ if lacks and instance.listens:
            where = _elsewhere(generation, instance, lacks)
            return f"{where} {limit}{_hint(generation, lacks)}"
        case _ if lacks:
            return f"{who} did not listen on {where} {limit}"
        case _:
            return f"{who} did not listen {limit}"


def _elsewhere(
    generation: Generation, instance: Instance, lacks: frozenset[str]
) -> str:
    who = f"instance {instance.ordinal} of generation {generation.number}"
    others = ", ".join(sorted(instance.listens))
    return f"{who} listens on {others} but not on {', '.join(sorted(lacks))}"


def _hint(generation: Generation, lacks: frozenset[str]) -> str:
    """Return how to say that addresses are meant to be left."""
    leaves = lacks - generation.required
    if not leaves:
        return ""
    ports = sorted({address.rpartition(":")[2] for address in leaves})
    options = " ".join(f"--drop {port}" for port in ports)
    entries = ", ".join(each if each.isdigit() else f'"{each}"' for each in ports)
    meant = f"`reload APP {options}`, or drops = [{entries}] in its table"
    return f"; if that is meant: {meant}"


def waits(generation: Generation, now: float) -> NameWait | float | None:
    """Return what to tell of an instance that lacks an address, or when; None if none."""
    if generation.waits_named:
        return None
    for instance in generation.instances:
        lacks = missing(generation, instance)
        if lacks and instance.listens:
            tell_at = instance.listened_at + TELL_S
            if now < tell_at:
                return tell_at
            what = _elsewhere(generation, instance, lacks)
            return NameWait(generation.number, f"{what} yet{_hint(generation, lacks)}")
    return None


def narrow(generation: Generation, now: float) -> str | float | None:
    """Return why a generation may not have an address inside the one that serves.

    Or when it is looked what it still has; None if that is known.
    """
    for instance in generation.instances:
        if instance.narrow_kept:
            return instance.narrow
        if instance.look_at is not None and now < instance.look_at:
            return instance.look_at
    return None


def not_yet_served(generation: Generation, now: float) -> float | None:
    """Return until when addresses of the generation before are waited for; None if not.

    They are served by that one until then, so that no connection falls between both.
    """
    lacking = [
        max(instance.started + generation.ready.timeout_s, generation.not_late_before)
        for instance in generation.instances
        if instance.leader_alive and missing(generation, instance)
    ]
    until = max(lacking, default=now)
    return until if now < until else None


def is_done(generation: Generation, seat: Seat) -> bool:
    """Return whether the instance of a seat has ended and no other is to follow."""
    restart = generation.restart
    stays = not restart.automatic or seat.exit_code in restart.stop_exit_codes
    return seat.exited_at is not None and stays


def is_done_well(generation: Generation, seat: Seat) -> bool:
    """Return whether the instance of a seat has ended as it was meant to.

    A generation that is to take the place of another one has to serve where that one does:
    its end is a failure then, whatever the exit code means to a job.
    """
    meant = {0, *generation.restart.stop_exit_codes}
    done = is_done(generation, seat) and seat.exit_code in meant
    return done and not _why_needed(generation, seat)


def _why_needed(generation: Generation, seat: Seat) -> str:
    """Return why the instance of a seat may not end, if that is no job; else nothing."""
    if generation.role not in (Role.TRIAL, Role.PROVING, Role.RECYCLING):
        return ""  # it has proved itself, and ends when it likes
    if addresses := generation.required | seat.expected:
        return f"has to serve on {', '.join(sorted(addresses))}"
    if seat.listened_itself and generation.follows:
        return "had listened"
    asked = generation.ready.when in (When.LISTENING, When.HTTP)
    if (asked or seat.listened) and all(
        is_done(generation, s) for s in generation.seats
    ):
        return "no instance listens"
    return ""


def crash(generation: Generation) -> str:
    """Return which instance has crashed, and how; empty if none has.

    For a generation that may not lose any: it is on trial, or proves itself.
    """
    for seat in generation.seats:
        if seat.exited_at is not None and not is_done_well(generation, seat):
            who = f"instance {seat.ordinal} of generation {generation.number}"
            why = _why_needed(generation, seat) if is_done(generation, seat) else ""
            return f"{who} {seat.exit_reason}" + (f", and {why}" if why else "")
    return ""


def empty_seats(generation: Generation) -> list[Seat]:
    """Return the seats that want an instance and have none."""
    taken = {i.ordinal for i in generation.instances if i.leader_alive}
    return [
        seat
        for seat in generation.seats
        if not (seat.ordinal in taken or seat.given_up or is_done(generation, seat))
    ]


def all_ready(generation: Generation) -> bool:
    """Return whether every seat has an instance that is ready, or had one that is done.

    One whose leader has ended is not ready before another process leads it.
    """
    ready = {
        i.ordinal
        for i in generation.instances
        if i.phase is Phase.READY and i.detached_at is None
    }
    return all(
        seat.ordinal in ready or is_done_well(generation, seat)
        for seat in generation.seats
    )


def leader_sought(generation: Generation, now: float) -> str | float | None:
    """Return until when it is looked for who leads an instance whose leader has ended.

    Or why that is a failure: nobody was found in time; None if each has its leader.
    """
    for instance in generation.instances:
        if instance.detached_at is not None:
            if instance.phase is Phase.STARTING and now >= deadline(
                generation, instance
            ):
                return why_not_ready(generation, instance)
            return now + LOOK_S
    return None


def comes_up(generation: Generation, now: float) -> bool:
    """Return whether a generation starts, and is not ready yet.

    One that was started again after a boot is waited for as long as its configuration
    gives an instance to be ready.
    """
    match generation.role:
        case _ if generation.held:
            return True
        case Role.TRIAL:
            # Whether it may switch is asked elsewhere, and may take long: it is ready.
            return generation.permit is not Permit.ASKED
        case Role.RECYCLING:
            return True
        case Role.SERVING if now < waited_for_until(generation):
            ready = {i.ordinal for i in generation.instances if i.phase is Phase.READY}
            return not all(
                seat.ordinal in ready or seat.given_up or is_done(generation, seat)
                for seat in generation.seats
            )
        case _:
            return False


def waited_for_until(generation: Generation) -> float:
    """Return until when others wait for a generation that serves and is not ready."""
    return generation.since + generation.ready.timeout_s


def overdue(generation: Generation, now: float) -> str | float | None:
    """Return why a start took too long, or until when there is time, or None.

    With an HTTP probe, there is time for it until the deadline of the instance that was
    started last.
    """
    starting = [i for i in generation.instances if i.phase is Phase.STARTING]
    probed = generation.ready.when is not When.HTTP or generation.probe is Probe.PASSED
    if all_ready(generation) and not probed:
        starting = sorted(generation.instances, key=lambda i: i.started)[-1:]
    if not starting:
        return None
    first = min(starting, key=lambda i: i.started)
    until = deadline(generation, first)
    if now < until:
        return until
    if becomes_ready(generation, first, now):
        return None
    return why_not_ready(generation, first)


def is_probed(generation: Generation) -> bool:
    """Return whether a generation has to answer an HTTP probe, which has not passed yet.

    On a host that drains it refuses requests like the others, but for that time.  One on
    trial has none to refuse.
    """
    asked = generation.ready.when is When.HTTP and generation.probe is not Probe.PASSED
    recycles = generation.role is Role.RECYCLING and all_ready(generation)
    return asked and (generation.role is Role.TRIAL or recycles)


def next_probe(generation: Generation, now: float) -> SendProbe | float | None:
    """Return the probe to send, or when to send it, or None if it has passed."""
    if generation.ready.when is not When.HTTP or generation.probe is Probe.PASSED:
        return None
    if generation.probe is Probe.UNDER_WAY:
        return now + generation.ready.timeout_s
    if not _can_be_asked(generation):
        return now + PROBE_PAUSE_S  # until its time is up (`overdue`)
    send_at = (generation.probe_ended_at or now - PROBE_PAUSE_S) + PROBE_PAUSE_S
    return SendProbe(generation.number) if now >= send_at else send_at


def _can_be_asked(generation: Generation) -> bool:
    """Return whether an instance listens where a connection can be made."""
    return any(
        not address.startswith(DATAGRAMS)
        for instance in generation.instances
        if instance.leader_alive
        for address in instance.listens
    )


def permission(generation: Generation, now: float) -> Action | float | str | None:
    """Return None if the generation may take over; or the reason why it may not.

    While that is not known: what to do, or when to check again.
    """
    match generation.permit:
        case Permit.NOT_NEEDED | Permit.GIVEN:
            return None
        case Permit.REFUSED:
            return generation.permit_refusal
        case Permit.NEEDED:
            return AskPermit(generation.number)
        case Permit.ASKED:
            assert generation.permit_asked_at is not None
            until = generation.permit_asked_at + PERMIT_S
            if now < until:
                return until
            return f"nobody permitted it within {PERMIT_S:g} s"
