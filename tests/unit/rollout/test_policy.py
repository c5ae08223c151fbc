"""A policy that could never finish is refused, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from gapless.config.toml.fleet_schema import Rollout
from gapless.rollout.model import Phase, State
from gapless.rollout.policy import Policy, frozen_by, share
from rig import diagram

HOSTS = frozenset({"a", "b"})
MONDAY, FRIDAY, SATURDAY = 0, 4, 5


def test_the_default_is_right() -> None:
    """The default has no mistakes."""
    assert Policy().mistakes(HOSTS) == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"slots": "0"}, "from 1 on"),
        ({"slots": "0%"}, "from 1 on"),
        ({"slots": "many"}, "per cent"),
        ({"waves": ("10%", "0")}, "from 1 on"),
        ({"canary": ("c",)}, "no host 'c'"),
        ({"canary": ("a",), "bake_s": 60.0, "deadline_s": 30.0}, "deadline_s = 30"),
        ({"min_healthy_s": 5.0, "deadline_s": 5.0}, "deadline_s = 5"),
        ({"min_healthy_s": 5.0, "revert_deadline_s": 4.0}, "revert_deadline_s = 4"),
        ({"bake_s": 10.0}, "no canary"),
        ({"slot_ttl_s": 0.5}, "slot_ttl_s"),
        ({"gone_s": 20.0}, "gone_s"),
        ({"freeze": ("sometimes",)}, "sometimes"),
        ({"freeze": ("fri 25:00 - mon 08:00",)}, "25:00"),
        ({"freeze": ("fri 16:00 - 08:00",)}, "fri 16:00 - 08:00"),
        ({"freeze": ("00:00 - 00:00",)}, "never ends"),
        ({"freeze": ("mon 00:00 - mon 00:00",)}, "never ends"),
    ],
)
def test_a_policy_that_can_never_finish_is_refused(
    wrong: dict[str, Any], reason: str
) -> None:
    """The one mistake gives the reason."""
    found = Policy(**wrong).mistakes(HOSTS)
    assert len(found) == 1
    assert reason in found[0]


def test_shares_are_at_least_one() -> None:
    """A share is a number or per cent, and at least one host."""
    assert [share("3", 10), share("25%", 10), share("1%", 10)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("weekday", "hour", "is_frozen"),
    [
        (FRIDAY, 15, False),
        (FRIDAY, 16, True),
        (SATURDAY, 12, True),
        (MONDAY, 7, True),
        (MONDAY, 8, False),
    ],
)
def test_a_weekend_is_frozen(weekday: int, hour: int, is_frozen: bool) -> None:
    """A window may go from one day to another."""
    window = "Fri 16:00 - Mon 08:00"
    assert bool(frozen_by((window,), weekday, hour * 60)) == is_frozen


@pytest.mark.parametrize(
    ("hour", "is_frozen"), [(21, False), (23, True), (5, True), (6, False)]
)
def test_every_night_is_frozen(hour: int, is_frozen: bool) -> None:
    """A window without days is of every day."""
    for weekday in range(7):
        assert bool(frozen_by(("22:00 - 06:00",), weekday, hour * 60)) == is_frozen


def test_the_reference_draws_the_states_as_they_are() -> None:
    """The diagram in docs/rollout.md is up to date; `python -m rig.diagram` writes it."""
    page = diagram.PAGE.read_text()
    assert diagram.inserted(page) == page


def test_the_reference_names_every_state_phase_and_key() -> None:
    """docs/rollout.md has every key of a policy, every state and every phase."""
    page = diagram.PAGE.read_text()
    keys = [f"`{each}`" for each in Rollout.__struct_fields__]
    words = [each.value for each in (*State, *Phase)]
    assert [name for name in [*keys, *words] if name not in page] == []
