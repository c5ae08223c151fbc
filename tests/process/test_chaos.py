"""Everything at once: four apps under strict load, and all of gapless is struck by turns.

CHAOS_SEED plays the steps of a seed again, which a failed test names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from rig.chaos import growth, schedule
from rig.chaos.play import play
from rig.chaos.schedule import Change, Step
from rig.chaos.world import World, chaotic_host

pytestmark = pytest.mark.skipif(
    os.getuid() != 0, reason="mounting a small disk needs root"
)
SEED = os.environ.get("CHAOS_SEED", "")
SHORT_STEPS = 6


def _steps(seed: int, seconds: float) -> Iterator[Step]:
    """Yield steps for a time; a few in the short form."""
    until = time.monotonic() + seconds
    for number, step in enumerate(schedule.draw(seed)):
        if time.monotonic() > until and number >= SHORT_STEPS:
            return
        yield step


def _level(world: World) -> growth.Footprint:
    """Bring every app to where it began, and look at what is used."""
    for name in schedule.APPS:
        play(world, Step(change=Change.SCALE, app=name, instances=1))
    play(world, Step(change=Change.RELOAD, app="node"))
    return growth.look(world)


@pytest.mark.parametrize(
    ("seed", "seconds"),
    [
        pytest.param(1, 0.0, id="short"),
        pytest.param(
            int(time.time() // 86_400), 60.0, marks=pytest.mark.soak, id="60s"
        ),
        pytest.param(
            int(time.time() // 86_400) + 1, 600.0, marks=pytest.mark.soak, id="600s"
        ),
    ],
)
def test_nothing_is_lost_and_nothing_grows(seed: int, seconds: float) -> None:
    """Whatever is killed, paused, full or late: each request is answered."""
    seed = int(SEED or seed)
    print(f"CHAOS_SEED={seed}", flush=True)
    with chaotic_host() as world:
        for step in schedule.WARM_UP:
            play(world, step)
        before = _level(world)
        for step in _steps(seed, seconds):
            print(step, flush=True)
            play(world, step)
        _level(world)
        growth.check(before, world)
        reports = [load.close() for a in world.apps.values() for load in a.loads]
        assert sum(lost for lost, _ in reports) <= world.cut, reports
