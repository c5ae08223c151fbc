"""How many instances start at once, and who is next."""

from __future__ import annotations

from gapless.supervisor.act.start_limit import HOLD_S, StartLimit
from gapless.supervisor.decide.actions import Plan, Start
from gapless.supervisor.decide.plan import plan
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord, SeatRecord
from gapless.supervisor.memory.model import (
    Desired,
    Generation,
    Observed,
    Phase,
    Role,
    Seat,
)

NOW = 100.0
NOTHING, HELD = Plan(), Plan(starts_held=True)


def _app(name: str, *started: float) -> AppRecord:
    wanted = spec.AppSpec(name=name, command=("program",), directory="/")
    app = AppRecord(name=name, spec=wanted)
    generation = GenerationRecord(
        number=1,
        spec=wanted,
        since=NOW,
        role=Role.TRIAL,
        seats=[SeatRecord(ordinal) for ordinal in range(len(started))],
    )
    generation.instances = [
        InstanceRecord(key=f"{name}/1/{ordinal}/1", ordinal=ordinal, started=at)
        for ordinal, at in enumerate(started)
    ]
    app.generations.append(generation)
    return app


def test_a_start_holds_its_place_until_it_is_ready_or_takes_long() -> None:
    """One that waits for something else than the processor holds nobody up."""
    limit = StartLimit(3)
    app = _app("a", NOW, NOW + 0.5)
    limit.update(app, NOTHING)
    assert limit.free(NOW + 0.6) == 1
    assert limit.free(NOW + HOLD_S) == 2
    app.generations[0].instances[1].phase = Phase.READY
    limit.update(app, NOTHING)
    assert limit.free(NOW + 0.6) == 2


def test_who_has_waited_longest_is_next() -> None:
    """An app keeps its turn while it waits, and is as many as there is room for."""
    limit = StartLimit(2)
    first = _app("first", NOW, NOW)
    limit.update(first, NOTHING)
    for name in ("b", "a", "b"):
        limit.update(_app(name), HELD)
    assert limit.whose_turn(NOW) == []
    assert limit.wait_until(NOW) == NOW + HOLD_S
    first.generations[0].instances[0].leader_alive = False
    limit.update(first, NOTHING)
    assert limit.whose_turn(NOW) == ["b"]
    limit.update(_app("b", NOW), NOTHING)
    assert limit.whose_turn(NOW) == []
    limit.forget("first")
    assert limit.whose_turn(NOW) == ["a"]
    limit.update(_app("a"), NOTHING)
    assert limit.wait_until(NOW) is None


def test_an_app_that_never_has_enough_keeps_no_other_waiting() -> None:
    """Whoever has started one of many is the last to start another."""
    limit = StartLimit(1)
    greedy = Plan((Start(1, 0),), starts_held=True)
    limit.update(_app("many"), HELD)
    limit.update(_app("one"), HELD)
    assert limit.whose_turn(NOW) == ["many"]
    limit.update(_app("many", NOW), greedy)
    assert limit.whose_turn(NOW + HOLD_S) == ["one"]


def test_a_plan_starts_no_more_than_it_may() -> None:
    """The others are held, and the plan says so; a deadline begins with the start."""
    seats = tuple(Seat(ordinal=ordinal) for ordinal in range(3))
    observed = Observed(
        now=NOW + 3600,
        generations=(Generation(number=1, role=Role.TRIAL, since=NOW, seats=seats),),
    )
    for may, starts in ((0, 0), (2, 2), (3, 3), (9, 3), (None, 3)):
        planned = plan(Desired(may_start=may), observed)
        assert len(planned.actions) == starts
        assert planned.starts_held is (starts < 3)
        assert planned.wake_at is None
