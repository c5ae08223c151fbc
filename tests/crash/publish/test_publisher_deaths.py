"""A publisher dies after each of its side effects; the same command then makes it true."""

from __future__ import annotations

import random

import pytest

from rig.crash.publisher.scenarios import SCENARIOS, Begin, play
from rig.crash.publisher.site import Site
from rig.hosts.host import Host
from rig.load.process import run_load
from rig.load.traffic import Traffic
from rig.matrix import matrix

LOAD = Traffic(kind="new", concurrency=2, pause_s=0.02)
SAMPLE = 1
"""So many points of each scenario run in `make test`, always the same."""
NAMES = [each.__name__ for each in SCENARIOS]
SHORT = [
    each
    for each in SCENARIOS
    if each.__name__
    in ("publish", "publish_what_fails", "rollback_then_watch", "watch")
]


def die_at(host: Host, begin: Begin, share: int | None) -> None:
    """Let it die at *share* of its points, or at all, under load of new connections."""
    site = Site(host, releases=3)
    faults: dict[str, list[str]] = {}
    with run_load(site.port, LOAD, seconds=3600) as load:
        quiet = play(site, begin, 0)
        assert not quiet.faults, "\n".join(quiet.faults)
        points = range(1, len(quiet.effects) + 1)
        chosen = (
            random.Random(begin.__name__).sample(points, share) if share else points
        )
        for number in chosen:
            found = play(site, begin, number)
            if found.faults:
                faults[found.effects[-1]] = found.faults
        assert load.stop().lost == 0
    assert not faults, "\n".join(f"{at}: {each}" for at, each in faults.items())


@pytest.mark.parametrize("begin", matrix(SCENARIOS, *SHORT), ids=NAMES)
def test_a_publisher_may_die_at_some_points(host: Host, begin: Begin) -> None:
    """What serves is what the link and the list say, and nothing is left over."""
    die_at(host, begin, SAMPLE)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("begin", SCENARIOS, ids=NAMES)
def test_a_publisher_may_die_at_every_point(host: Host, begin: Begin) -> None:
    """The same, at each of them."""
    die_at(host, begin, None)
