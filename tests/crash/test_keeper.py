"""The keeper dies right after each of its side effects, or together with the supervisor.

What has to be true afterwards is the same as when the supervisor dies alone.  `make soak`
runs every point of these scenarios, `make test` a sample that never changes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.crash import point
from rig.crash.scenarios import BY_NAME, EFFECTS, KEEPER_EFFECTS, Scenario

Undisturbed = Callable[[Scenario], point.Result]
BOTH = (
    *("first-start", "reload", "takeover", "crash-restart", "shutdown", "upgrade"),
    *("path-reload", "path-dies-proving", "background-reload"),
)
"""The scenarios in which both die, after effects of the supervisor."""
SEED = 22
SLACK = 0.3
"""By which part two runs of a scenario may differ: notes, looks, connections."""
ROOT = Path(__file__).parents[2]


def _points(effects: dict[str, int], sampled: str) -> Iterator[Any]:
    """Yield every point; all but one, of the scenario *sampled*, are for the soak."""
    short = sampled, random.Random(SEED).randint(1, effects[sampled])
    for name, count in effects.items():
        for number in range(1, count + 1):
            marks = () if (name, number) == short else pytest.mark.soak
            yield pytest.param(name, number, marks=marks, id=f"{name}-{number}")


@pytest.mark.parametrize(
    ("name", "number"), list(_points(KEEPER_EFFECTS, sampled="reload"))
)
def test_a_death_of_the_keeper(
    name: str, number: int, undisturbed: Undisturbed
) -> None:
    """The next keeper goes on with what it was about to do; the supervisor lives."""
    usual = undisturbed(BY_NAME[name]).seen
    result = point.run(BY_NAME[name], (number,), undisturbed=usual, victim="keeper")
    assert not result.faults, str(result)


@pytest.mark.parametrize(
    ("name", "number"),
    list(_points({name: EFFECTS[name] for name in BOTH}, sampled="reload")),
)
def test_a_death_of_both(name: str, number: int, undisturbed: Undisturbed) -> None:
    """Who comes next finds the next keeper, which knows what the dead ones knew."""
    usual = undisturbed(BY_NAME[name]).seen
    result = point.run(BY_NAME[name], (number,), undisturbed=usual, victim="both")
    assert not result.faults, str(result)


@pytest.mark.soak
@pytest.mark.parametrize("name", list(KEEPER_EFFECTS))
def test_every_effect_of_the_keeper_is_counted(name: str) -> None:
    """The table has as many points as effects."""
    result = point.run(BY_NAME[name], (0,), victim="keeper")
    assert not result.faults, str(result)
    found = len(result.effects)
    usual = KEEPER_EFFECTS[name]
    assert abs(found - usual) <= SLACK * usual, f"{name} has {found} effects"


def test_the_page_says_how_many_points_of_the_keeper_there_are() -> None:
    """docs/crash-points.md has a row for each scenario."""
    page = (ROOT / "docs" / "crash-points.md").read_text()
    rows = re.findall(r"^\| ([a-z-]+) \| (\d+) of the keeper \|$", page, re.MULTILINE)
    assert {name: int(count) for name, count in rows} == KEEPER_EFFECTS
