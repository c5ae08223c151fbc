"""What makes a generation ready, and what it lacks.  Pure, a part of `plan`."""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.decide.actions import Action, AskPermit, MarkReady, SendProbe
from gapless.supervisor.memory.model import (
    Generation,
    Instance,
    Permit,
    Phase,
    Probe,
    Seat,
)
from gapless.supervisor.memory.spec import When

PROBE_PAUSE_S = 0.1
PERMIT_S = 15.0
"""A host that does not answer for so long has lost its slot, or its agent has died."""


def mark_ready(generation: Generation, now: float) -> Iterator[Action | float]:
    """Count as ready what is ready, or return when to check again."""
    for instance in generation.instances:
        lives = instance.leader_alive and instance.spawned
        if instance.phase is not Phase.STARTING or not lives:
            continue
        old_at = instance.started + generation.restart.min_uptime_s
        if _is_ready(generation, instance, now):
            yield MarkReady(instance.key)
        elif generation.ready.when is When.AUTO and now < old_at:
            yield old_at


def _is_ready(generation: Generation, instance: Instance, now: float) -> bool:
    complete = instance.listens >= generation.required
    match generation.ready.when:
        case When.NOTIFY:
            return instance.notified_ready
        case When.LISTENING | When.HTTP:
            return complete and bool(instance.listens)
        case When.AUTO if generation.required or instance.listens:
            return complete
        case When.AUTO:
            return now >= instance.started + generation.restart.min_uptime_s


def why_not_ready(generation: Generation, instance: Instance) -> str:
    """Return what an instance lacked when its time was up."""
    limit = f"within {generation.ready.timeout_s:g} s"
    who = f"instance {instance.ordinal} of generation {generation.number}"
    missing = ", ".join(sorted(generation.required - instance.listens))
    if instance.phase is Phase.READY:
        answer = generation.probe_answer or "no answer"
        return f"the probe of {generation.ready.path} did not pass {limit}: {answer}"
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


def is_done(generation: Generation, seat: Seat) -> bool:
    """Return whether the instance of a seat has ended and no other is to follow."""
    restart = generation.restart
    stays = not restart.automatic or seat.exit_code in restart.stop_exit_codes
    return seat.exited_at is not None and stays


def is_done_well(generation: Generation, seat: Seat) -> bool:
    """Return whether the instance of a seat has ended as it was meant to."""
    meant = {0, *generation.restart.stop_exit_codes}
    return is_done(generation, seat) and seat.exit_code in meant


def crash(generation: Generation) -> str:
    """Return which instance has crashed, and how; empty if none has.

    For a generation that may not lose any: it is on trial, or proves itself.
    """
    for seat in generation.seats:
        if seat.exited_at is not None and not is_done_well(generation, seat):
            who = f"instance {seat.ordinal} of generation {generation.number}"
            return f"{who} {seat.exit_reason}"
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
    """Return whether every seat has an instance that is ready, or had one that is done."""
    ready = {i.ordinal for i in generation.instances if i.phase is Phase.READY}
    return all(
        seat.ordinal in ready or is_done_well(generation, seat)
        for seat in generation.seats
    )


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
    deadline = first.started + generation.ready.timeout_s
    return why_not_ready(generation, first) if now >= deadline else deadline


def next_probe(generation: Generation, now: float) -> SendProbe | float | None:
    """Return the probe to send, or when to send it, or None if it has passed."""
    if generation.ready.when is not When.HTTP or generation.probe is Probe.PASSED:
        return None
    if generation.probe is Probe.UNDER_WAY:
        return now + generation.ready.timeout_s
    send_at = (generation.probe_ended_at or now - PROBE_PAUSE_S) + PROBE_PAUSE_S
    return SendProbe(generation.number) if now >= send_at else send_at


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
