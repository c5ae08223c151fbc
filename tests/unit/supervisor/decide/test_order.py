"""The order of apps that name each other, and which of them wait."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gapless.supervisor.decide import order, readiness
from gapless.supervisor.memory.model import (
    Generation,
    Instance,
    Permit,
    Phase,
    Role,
    Seat,
)

AFTER = {"web": ["mid", "cache"], "mid": ["db"], "db": [], "cache": []}
NAMES = st.sampled_from(["a", "b", "c", "d"])
ANY_AFTER = st.dictionaries(NAMES, st.lists(NAMES, unique=True))


def generation(
    role: Role, phase: Phase = Phase.STARTING, seat: Seat | None = None
) -> Generation:
    """Return a generation with one instance."""
    instance = Instance(key="a/1/0/1", ordinal=0, phase=phase, started=100.0)
    seats = (seat or Seat(ordinal=0),)
    return Generation(
        number=1, role=role, since=100.0, seats=seats, instances=(instance,)
    )


def test_names_come_behind_those_that_they_are_after() -> None:
    """Else they stay as they are; the way down is the way up, backwards."""
    assert order.in_order(["web", "mid", "db"], AFTER) == ["db", "mid", "web"]
    assert order.in_order(["x", "web", "y"], AFTER) == ["x", "web", "y"]
    down = order.backwards(["db", "web", "mid"], AFTER)
    assert order.in_order(list(down), down) == ["web", "mid", "db"]


def test_a_circle_is_named() -> None:
    """With each app of it once, and the first at the end again."""
    assert order.circle(AFTER) == []
    assert order.circle({"x": ["a"], "a": ["b"], "b": ["a"]}) == ["a", "b", "a"]


def test_only_what_comes_up_is_waited_for() -> None:
    """And nothing that waits for this app itself, by whatever way."""
    assert order.to_wait_for("web", ["mid", "cache"], ["mid"], {}) == {"mid"}
    assert order.to_wait_for("a", ["b"], ["b"], {"b": ["c"], "c": ["a"]}) == set()


def test_what_is_after_an_app_ends_first() -> None:
    """As far as it ends too; a circle keeps nobody."""
    assert order.to_end_first("db", AFTER, ["web", "mid"]) == {"mid"}
    assert order.to_end_first("db", AFTER, ["web"]) == set()
    assert order.to_end_first("a", {"a": ["b"], "b": ["a"]}, ["b"]) == set()


@given(ANY_AFTER)
def test_nothing_waits_for_itself(after: dict[str, list[str]]) -> None:
    """Whatever is configured, one app can start, and one can end, at any time."""
    waiting: dict[str, set[str]] = {}
    for name, others in after.items():
        waiting[name] = order.to_wait_for(name, others, list(after), waiting)
    assert not order.circle(waiting)
    first = {n: order.to_end_first(n, after, list(after)) for n in after}
    assert not order.circle(first)
    assert sorted(order.in_order(list(after), after)) == sorted(after)


def test_a_generation_comes_up_until_it_is_ready() -> None:
    """Also until its time is over, or nothing is to come any more."""
    boot = generation(Role.SERVING)
    assert readiness.comes_up(boot, 110.0)
    assert not readiness.comes_up(boot, 100.0 + boot.ready.timeout_s)
    assert not readiness.comes_up(generation(Role.SERVING, Phase.READY), 110.0)
    gave_up = Seat(ordinal=0, given_up=True)
    assert not readiness.comes_up(generation(Role.SERVING, seat=gave_up), 110.0)
    assert readiness.comes_up(generation(Role.TRIAL), 999.0)
    assert readiness.comes_up(replace(boot, held=True), 999.0)
    asked = replace(generation(Role.TRIAL, Phase.READY), permit=Permit.ASKED)
    assert not readiness.comes_up(asked, 110.0)
    assert not readiness.comes_up(generation(Role.RETIRING), 110.0)


def test_a_long_chain_is_put_in_order_at_once() -> None:
    """Each of thirty is after all before it."""
    names = [f"app{number}" for number in range(30)]
    after = {name: tuple(names[:place]) for place, name in enumerate(names)}
    assert order.in_order(list(reversed(names)), after) == names
