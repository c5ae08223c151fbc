"""What a supervisor that takes over makes of a generation."""

from __future__ import annotations

import pytest

from gapless.supervisor.decide.lead_time import refuse_at
from gapless.supervisor.decide.readiness import deadline
from gapless.supervisor.memory.generations import WATCHED_S, GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord, SeatRecord
from gapless.supervisor.memory.model import Mode, Role
from gapless.supervisor.memory.spec import AppSpec, Recycle

NOW = 1000.0


@pytest.mark.parametrize("role", [Role.PROVING, Role.RECYCLING])
@pytest.mark.parametrize(
    ("min_healthy_s", "since", "left_s"),
    [
        (1.0, NOW - 500, 1.0),
        (60.0, NOW - 500, WATCHED_S),
        (60.0, NOW - 20, 40.0),
        (0.0, NOW - 500, 0.0),
    ],
)
def test_a_generation_is_not_proven_by_time_in_which_nobody_watched(
    min_healthy_s: float, since: float, left_s: float, role: Role
) -> None:
    """It is watched for a while, and for no longer than it needs anyway."""
    spec = AppSpec(name="a", command=("a",), directory="/", min_healthy_s=min_healthy_s)
    generation = GenerationRecord(1, spec, since, role=role)
    generation.doubt(NOW)
    assert generation.since + min_healthy_s - NOW == left_s


def test_one_that_was_proven_stays_it() -> None:
    """Since when it serves is what `list` shows."""
    spec = AppSpec(name="a", command=("a",), directory="/")
    generation = GenerationRecord(1, spec, 5.0, role=Role.SERVING)
    generation.doubt(NOW)
    assert generation.since == 5.0


def test_nothing_is_late_by_time_in_which_nobody_watched() -> None:
    """What it has said meanwhile is heard first; then it is late as ever."""
    spec = AppSpec(name="a", command=("a",), directory="/")
    instance = InstanceRecord("a/1/0/1", 0, NOW - 500, pid=1)
    seats = [SeatRecord(0)]
    generation = GenerationRecord(1, spec, 5.0, seats=seats, instances=[instance])
    limit_s = spec.ready.timeout_s
    assert deadline(generation.value(), instance.value()) == NOW - 500 + limit_s
    generation.doubt(NOW)
    assert deadline(generation.value(), instance.value()) == NOW + WATCHED_S
    instance.started = NOW - 1
    assert deadline(generation.value(), instance.value()) == NOW - 1 + limit_s


def test_no_balancer_has_left_it_alone_while_nobody_watched() -> None:
    """Requests may have come: it is quiet from now on, and its lead ends as before."""
    spec = AppSpec(name="a", command=("a",), directory="/")
    lead = Recycle(lead_s=60.0, quiet_s=1.0)
    found = []
    for mode_since in (NOW - 20, NOW - 59.5):
        instance = InstanceRecord("a/1/0/1", 0, 5.0, pid=1, mode=Mode.LEAVING)
        instance.mode_since = instance.last_request_at = mode_since
        generation = GenerationRecord(1, spec, 5.0, instances=[instance])
        generation.doubt(NOW)
        value = instance.value()
        found.append(refuse_at(value, [value], lead))
    assert found == [NOW + lead.quiet_s, NOW + 0.5]
