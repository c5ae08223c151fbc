"""The promises of `plan`: cases in files, and invariants for drawn values."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.supervisor.decide import actions
from gapless.supervisor.decide.plan import (
    MOST_RETIRING,
    Admission,
    admit,
    plan,
)
from gapless.supervisor.decide.restarts import restart_delay_s
from gapless.supervisor.memory.model import (
    Desired,
    FilesSeen,
    Generation,
    Instance,
    Mode,
    Observed,
    Permit,
    Phase,
    Probe,
    Role,
    Seat,
    Takeover,
)
from gapless.supervisor.memory.spec import (
    Ready,
    Recycle,
    Restart,
    Stop,
    When,
)

CASES = sorted((Path(__file__).parents[3] / "cases" / "plan").glob("*.toml"))
SINCE = 100.0


def generation(table: dict[str, Any]) -> Generation:
    """Return the generation that a table of a case describes."""
    number = table.pop("number")
    instances = tuple(
        Instance(
            key=f"{number}.{plain['ordinal']}",
            ordinal=plain["ordinal"],
            phase=Phase(plain["phase"]),
            started=SINCE,
            stop_sent_at=plain.get("stop_sent_at"),
            listens=frozenset(plain.get("listens", ())),
            covers=frozenset(plain.get("covers", ())),
            listened_at=plain.get("listened_at", SINCE),
            narrow=plain.get("narrow", ""),
            narrow_kept=plain.get("narrow_kept", False),
            look_at=plain.get("look_at"),
            mode=Mode(plain.get("mode", "serving")),
            mode_since=SINCE,
            last_request_at=plain.get("last_request_at", 0.0),
            counts_itself=plain.get("counts_itself", False),
            owed=plain.get("owed", 0),
            silent=plain.get("silent", 0),
            idle_checks=plain.get("idle_checks", 0),
            moved_at=plain.get("moved_at", 0.0),
            connections=plain.get("connections", 0),
            takeover=Takeover(plain.get("takeover", "none")),
            detached_at=plain.get("detached_at"),
            leader_alive=plain.get("leader_alive", True),
        )
        for plain in table.pop("instances", ())
    )
    exits = {ordinal: (at, why) for ordinal, at, why in table.pop("exits", ())}
    short_lives = table.pop("short_lives", 0)
    quick_exits = table.pop("quick_exits", 0)
    codes = dict(table.pop("exit_codes", ()))
    expects, listened = table.pop("expects", {}), table.pop("listened", False)
    listened_itself = table.pop("listened_itself", False)
    restart = table.pop("restart", {})
    restart["stop_exit_codes"] = tuple(restart.get("stop_exit_codes", ()))
    seats = tuple(
        Seat(
            ordinal=ordinal,
            short_lives=short_lives,
            quick_exits=quick_exits,
            exit_code=codes.get(ordinal),
            exited_at=exits.get(ordinal, (None, ""))[0],
            exit_reason=exits.get(ordinal, (None, ""))[1],
            expected=frozenset(expects.get(str(ordinal), ())),
            listened=listened,
            listened_itself=listened_itself,
        )
        for ordinal in range(table.pop("seats", len(instances)))
    )
    return Generation(
        number=number,
        role=Role(table.pop("role")),
        since=SINCE,
        seats=seats,
        instances=instances,
        required=frozenset(table.pop("required", ())),
        permit=Permit(table.pop("permit", "not needed")),
        takeover=Takeover(table.pop("takeover", "none")),
        probe=Probe(table.pop("probe", "not asked")),
        restart=Restart(**restart),
        stop=Stop(**table.pop("stop", {})),
        recycle=Recycle(**table.pop("recycle", {})),
        ready=Ready(
            when=When(table.pop("ready", "auto")),
            timeout_s=table.pop("ready_timeout_s", Ready().timeout_s),
        ),
        files=FilesSeen(**table.pop("files", {})),
        **table,
    )


def shown(action: actions.Action) -> str:
    """Return an action in the notation of the cases."""
    found = [(getattr(action, f.name), f.default) for f in dataclasses.fields(action)]
    while found and found[-1][0] == found[-1][1]:
        found.pop()  # a case names what is not as usual
    fields = [value for value, _ in found]
    plain = [field.value if isinstance(field, Mode) else field for field in fields]
    return f"{type(action).__name__}({', '.join(map(repr, plain))})"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    """The plan has the actions that the case expects."""
    case = tomllib.loads(path.read_text())
    observed = Observed(
        now=case.get("now", SINCE),
        generations=tuple(generation(table) for table in case["generation"]),
    )
    desired = Desired(
        running=case.get("running", True),
        draining=case.get("draining", False),
        lead_s=case.get("lead_s"),
    )
    planned = plan(desired, observed)
    assert [shown(action) for action in planned.actions] == case["expected"], case[
        "says"
    ]


@st.composite
def generations(draw: st.DrawFn, number: int, role: Role) -> Generation:
    """Draw a generation in a role."""
    count = draw(st.integers(1, 3))
    instances = []
    seats = []
    for ordinal in range(count):
        dead = draw(st.booleans())
        ended = draw(st.floats(90, 100)) if dead else None
        short = draw(st.integers(0, 20))
        seats.append(
            Seat(
                ordinal=ordinal, short_lives=short, exited_at=ended, exit_reason="ended"
            )
        )
        if not dead:
            stop_sent_at = draw(st.none() | st.floats(95, 105))
            phase = Phase.DRAINING if stop_sent_at else draw(st.sampled_from(Phase))
            instances.append(
                Instance(
                    key=f"{number}.{ordinal}",
                    ordinal=ordinal,
                    phase=phase,
                    started=SINCE,
                    stop_sent_at=stop_sent_at,
                    listens=draw(st.sampled_from([frozenset(), frozenset({"a:1"})])),
                    mode=draw(st.sampled_from(Mode)),
                    mode_since=draw(st.floats(60, 105)),
                    last_request_at=draw(st.floats(60, 105)),
                    owed=draw(st.integers(0, 1)),
                    idle_checks=draw(st.integers(0, 4)),
                )
            )
    return Generation(
        number=number,
        role=role,
        since=SINCE,
        seats=tuple(seats),
        instances=tuple(instances),
        required=draw(st.sampled_from([frozenset(), frozenset({"a:1"})])),
        served=role is not Role.TRIAL,
        idle_checks=draw(st.integers(0, 4)),
        queued=draw(st.integers(0, 2)),
        quiesced=draw(st.booleans()),
        failure=draw(st.sampled_from(["", "it died"])) if role is Role.YIELDING else "",
    )


@st.composite
def worlds(draw: st.DrawFn) -> Observed:
    """Draw generations whose roles can exist at the same time."""
    retiring = draw(st.integers(0, 3))
    roles = [Role.RETIRING] * retiring
    roles += draw(
        st.sampled_from(
            [
                [],
                [Role.SERVING],
                [Role.TRIAL],
                [Role.SERVING, Role.TRIAL],
                [Role.STANDBY, Role.PROVING],
                [Role.YIELDING, Role.RECYCLING],
                [Role.RECYCLING, Role.YIELDING],
            ]
        )
    )
    drawn = [draw(generations(number, role)) for number, role in enumerate(roles, 1)]
    return Observed(now=draw(st.floats(100, 140)), generations=tuple(drawn))


@given(worlds(), st.booleans())
def test_only_what_retires_or_has_lost_its_leader_gets_the_stop_signal(
    observed: Observed, running: bool
) -> None:
    """A generation that serves, stands by or is on trial keeps its living instances."""
    owners = {i.key: g for g in observed.generations for i in g.instances}
    instances = {i.key: i for g in observed.generations for i in g.instances}
    for action in plan(Desired(running=running), observed).actions:
        if isinstance(action, actions.SendStop):
            leaves = owners[action.key].role in (Role.RETIRING, Role.YIELDING)
            assert leaves or instances[action.key].phase is Phase.DRAINING


@given(worlds())
def test_a_serving_generation_is_retired_only_when_nothing_of_it_is_left(
    observed: Observed,
) -> None:
    """A trial that fails never takes the serving generation with it."""
    for action in plan(Desired(), observed).actions:
        if isinstance(action, actions.Retire):
            found = next(
                g for g in observed.generations if g.number == action.generation
            )
            empty = not found.instances and all(s.given_up for s in found.seats)
            assert found.role is Role.TRIAL or empty
            assert action.reason


@given(worlds(), st.booleans())
def test_no_instance_and_no_seat_gets_two_actions(
    observed: Observed, running: bool
) -> None:
    """One plan ends an instance and fills a seat at most once."""
    planned = plan(Desired(running=running), observed).actions
    ended = [a.key for a in planned if isinstance(a, actions.SendStop | actions.Kill)]
    assert len(ended) == len(set(ended))
    seats = [(a.generation, a.ordinal) for a in planned if isinstance(a, actions.Start)]
    assert len(seats) == len(set(seats))


@given(worlds(), st.booleans())
def test_a_plan_that_waits_says_until_when(observed: Observed, running: bool) -> None:
    """A plan for unfinished work has an action or a time to wake."""
    planned = plan(Desired(running=running), observed)
    for found in observed.generations:
        if found.role in (Role.PROVING, Role.RETIRING) and found.instances:
            assert planned.actions or planned.wake_at is not None


@given(worlds())
def test_at_most_one_new_generation_is_under_way(observed: Observed) -> None:
    """A request is admitted only if no generation is on trial or proving."""
    roles = {g.role for g in observed.generations}
    if admit(observed) is Admission.NOW:
        assert not roles & {Role.TRIAL, Role.PROVING}


@pytest.mark.parametrize(
    ("roles", "back", "expected"),
    [
        ([Role.SERVING], False, Admission.DRAINS),
        ([Role.SERVING], True, Admission.NOW),
        ([], False, Admission.NOW),
        ([Role.STANDBY, Role.PROVING], True, Admission.WAIT),
        ([Role.SERVING, Role.TRIAL], False, Admission.SUPERSEDE),
    ],
)
def test_only_a_way_forward_waits_for_generations_that_drain(
    roles: list[Role], back: bool, expected: Admission
) -> None:
    """What fixes a release that fails, or an app of which nothing serves, may begin."""
    drawn = [Role.RETIRING] * MOST_RETIRING + roles
    found = tuple(
        Generation(number=number, role=role, since=SINCE, seats=(), served=True)
        for number, role in enumerate(drawn, 1)
    )
    assert admit(Observed(now=SINCE, generations=found), back=back) is expected


@given(worlds())
def test_no_instance_starts_while_its_files_are_read(observed: Observed) -> None:
    """That is no failure, so nothing else comes of it."""
    reading = dataclasses.replace(
        observed,
        generations=tuple(
            dataclasses.replace(each, reads_files=True) for each in observed.generations
        ),
    )
    starts = (actions.Start, actions.StartSuccessor)
    others = [
        each
        for each in plan(Desired(), observed).actions
        if not isinstance(each, starts)
    ]
    assert list(plan(Desired(), reading).actions) == others


@given(worlds())
def test_a_recycle_never_fills_a_seat_that_is_held(observed: Observed) -> None:
    """Two instances of a seat never run at once, as the app cannot do that."""
    held = {
        i.ordinal
        for g in observed.generations
        if g.role is Role.YIELDING
        for i in g.instances
    }
    recycling = {g.number for g in observed.generations if g.role is Role.RECYCLING}
    for action in plan(Desired(), observed).actions:
        if isinstance(action, actions.Start) and action.generation in recycling:
            assert action.ordinal not in held


@given(worlds())
def test_a_recycle_takes_no_more_out_than_it_may(observed: Observed) -> None:
    """Instances that leave, start or are missing count as unavailable."""
    found = {g.role: g for g in observed.generations}
    if Role.RECYCLING not in found:
        return
    old, new = found[Role.YIELDING], found[Role.RECYCLING]
    orders = [
        action.key
        for action in plan(Desired(), observed).actions
        if isinstance(action, actions.Drain) and action.mode is Mode.RECYCLE
    ]
    staying = [
        i
        for i in old.instances
        if i.stop_sent_at is None and i.mode in (Mode.SERVING, Mode.HANDOFF)
    ]
    chosen = [i for i in staying if i.key in orders]
    if chosen:
        out = len(old.instances) - len(staying) + len(chosen)
        out += sum(i.phase is not Phase.READY for i in new.instances)
        assert out <= new.recycle.max_unavailable


@given(worlds(), st.floats(0.1, 20))
def test_a_host_that_leaves_tells_the_balancer_first(
    observed: Observed, lead_s: float
) -> None:
    """No instance refuses requests before its health path has said no for long enough."""
    desired = Desired(draining=True, lead_s=lead_s)
    instances = {i.key: i for g in observed.generations for i in g.instances}
    for action in plan(desired, observed).actions:
        if isinstance(action, actions.Drain) and action.mode is Mode.RECYCLE:
            led = instances[action.key]
            assert led.mode is Mode.LEAVING
            assert observed.now >= led.mode_since + min(lead_s, 1.0)


@given(worlds())
def test_a_lead_ends_at_its_bound(observed: Observed) -> None:
    """After the lead time an instance refuses, whatever the balancer still sends."""
    late = dataclasses.replace(observed, now=observed.now + 60)
    desired = Desired(draining=True, lead_s=15)
    orders = {
        action.key: action.mode
        for action in plan(desired, late).actions
        if isinstance(action, actions.Drain)
    }
    for found in late.generations:
        for instance in found.instances:
            alive = instance.stop_sent_at is None and instance.leader_alive
            if found.role is Role.SERVING and alive and instance.mode is Mode.LEAVING:
                assert orders[instance.key] is Mode.RECYCLE


@given(st.integers(0, 100))
def test_delays_grow_and_are_bounded(short_lives: int) -> None:
    """A delay never shrinks from one short life to the next, and is 15 s at most."""
    delays = [
        restart_delay_s(Restart(), Seat(ordinal=0, short_lives=count))
        for count in (short_lives, short_lives + 1)
    ]
    assert 0 <= delays[0] <= delays[1] <= 15
