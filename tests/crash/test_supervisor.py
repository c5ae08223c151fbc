"""The supervisor dies right after each of its side effects, and nothing is half-done.

`rig/crash/invariants.py` says what has to be true after each death, docs/crash-points.md
how many there are.  `make soak` runs all of them, `make test` a sample that never changes.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.crash import point
from rig.crash.scenarios import BY_NAME, EFFECTS, SCENARIOS, Scenario

Undisturbed = Callable[[Scenario], point.Result]
SAMPLE, ALONE, TWICE = 6, 2, 2
"""How many points `make test` runs: a waiting command, none, a second death."""
TWICE_IN_SOAK = 150
SEED = 15
MOST_AGAIN = 40
IN_ADOPTION = 13
"""An effect of an upgrade at which the new version has a part of what the old one had."""
"""The last effect of a recovery after which it is interrupted."""
SLACK = 10
"""By how many effects two runs of a scenario may differ: notes, checks, connections."""
ROOT = Path(__file__).parents[2]

KNOWN: dict[tuple[str, str], str] = {}
"""By scenario and effect, what is known to be wrong after it.  It may only shrink."""


def _all(*, long: bool = True) -> list[tuple[str, int]]:
    chosen = [each for each in SCENARIOS if long or not each.long]
    return [(s.name, n) for s in chosen for n in range(1, EFFECTS[s.name] + 1)]


def _scenarios() -> Iterator[Any]:
    for each in SCENARIOS:
        marks = pytest.mark.soak if each.long else ()
        yield pytest.param(each, marks=marks, id=each.name)


def _points(sample: int, seed: int) -> Iterator[Any]:
    """Yield every point; all but *sample* of them are for the soak."""
    short = set(random.Random(seed).sample(_all(long=False), sample))
    for each in _all():
        marks = () if each in short else pytest.mark.soak
        yield pytest.param(*each, marks=marks, id=f"{each[0]}-{each[1]}")


def _twice(count: int, seed: int, *, long: bool) -> Iterator[tuple[str, int, int]]:
    draw = random.Random(seed)
    for name, first in draw.choices(_all(long=long), k=count):
        yield name, first, draw.randint(1, MOST_AGAIN)


TODAY = int(time.time() // 86_400)


def judge(scenario: Scenario, result: point.Result) -> None:
    """Fail if an invariant does not hold, unless that is known; fail if it holds then."""
    reason = known(scenario, result)
    if reason is None:
        assert not result.faults, str(result)
    else:
        assert result.faults, f"remove it from KNOWN: {reason}"
        pytest.xfail(reason)


def known(scenario: Scenario, result: point.Result) -> str | None:
    """Return why a point is known to be wrong."""
    last = result.effects[-1] if result.deaths else ""
    for (name, effect), reason in KNOWN.items():
        if name == scenario.name and re.search(effect, last):
            return reason
    return None


@pytest.mark.parametrize("scenario", list(_scenarios()))
def test_every_effect_is_counted(scenario: Scenario, undisturbed: Undisturbed) -> None:
    """Without a death all invariants hold; the table has as many points as effects."""
    result = undisturbed(scenario)
    assert not result.faults, str(result)
    counted = EFFECTS[scenario.name]
    assert abs(len(result.effects) - counted) <= SLACK, (
        f"{scenario.name} has {len(result.effects)} effects: write that into "
        f"rig/crash/scenarios.py and docs/crash-points.md"
    )


@pytest.mark.parametrize(("name", "number"), list(_points(SAMPLE, SEED)))
def test_a_death_while_a_command_waits(
    name: str, number: int, undisturbed: Undisturbed
) -> None:
    """The command starts the next supervisor, and ends with the truth."""
    scenario = BY_NAME[name]
    usual = undisturbed(scenario).seen
    judge(scenario, point.run(scenario, (number,), undisturbed=usual))


@pytest.mark.parametrize(("name", "number"), list(_points(ALONE, SEED + 1)))
def test_a_death_together_with_the_command(
    name: str, number: int, undisturbed: Undisturbed
) -> None:
    """The command dies as well; who comes next finds what was asked for, or what was."""
    scenario = BY_NAME[name]
    usual = undisturbed(scenario).seen
    result = point.run(scenario, (number,), undisturbed=usual, waiting=False)
    judge(scenario, result)


@pytest.mark.parametrize(
    ("name", "first", "second"), list(_twice(TWICE, SEED + 2, long=False))
)
def test_a_second_death_while_the_first_is_mended(
    name: str, first: int, second: int, undisturbed: Undisturbed
) -> None:
    """The next supervisor dies too, after some effects of its own."""
    scenario = BY_NAME[name]
    usual = undisturbed(scenario).seen
    judge(scenario, point.run(scenario, (first, second), undisturbed=usual))


def test_a_death_of_the_version_that_takes_over() -> None:
    """The version before takes all of it back, and the command tells the truth.

    All points of an upgrade are in the soak.
    """
    scenario = BY_NAME["upgrade"]
    judge(scenario, point.run(scenario, (IN_ADOPTION,)))


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "first", "second"), list(_twice(TWICE_IN_SOAK, TODAY, long=True))
)
def test_a_second_death_of_the_day(
    name: str, first: int, second: int, undisturbed: Undisturbed
) -> None:
    """Another sample each day."""
    test_a_second_death_while_the_first_is_mended(name, first, second, undisturbed)


def test_the_page_says_how_many_points_there_are() -> None:
    """docs/crash-points.md has a row for each scenario, with the number of its effects."""
    page = (ROOT / "docs" / "crash-points.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z-]+) \|.*\| (\d+) \|$", page, re.MULTILINE))
    assert {name: int(count) for name, count in rows.items()} == EFFECTS
