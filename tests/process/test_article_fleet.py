"""The example of the article on four hosts, started through a link as in the article."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.fleets.app_kinds import ArticleApp
from rig.fleets.balancer import run_balancer
from rig.fleets.fleet import Fleet
from rig.load import engine
from rig.load.process import run_load

NEW = engine.Traffic(kind="new", concurrency=3, pause_s=0.01)
KEPT = engine.Traffic(kind="kept", concurrency=3, keep_alive=True, pause_s=0.01)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_an_upload_reaches_every_host_and_a_broken_one_none(
    tmp_path: Path, name: str
) -> None:
    """Only app.json configures the app; the agents find it running and change it."""
    fleet = Fleet(tmp_path, count=4, kind="article", policy="slots = 2")
    assert isinstance(fleet.program, ArticleApp)
    fleet.program.more |= {"instances": 2}
    try:
        fleet.start()
        first = set(fleet.runs().values())
        with (
            run_balancer(fleet, name) as port,
            run_load(port, NEW, KEPT, seconds=300) as under_load,
        ):
            under_load.wait_for(50)
            fleet.upload("2")
            assert fleet.until("done", "held", "reverted", "stuck")["state"] == "done"
            second = set(fleet.runs().values())
            assert len(second) == 1
            assert second.isdisjoint(first)
            fleet.upload("3 broken")
            assert fleet.until("done", "held", "reverted", "stuck")["state"] != "done"
            assert set(fleet.runs().values()) == second
            under_load.wait_for(50)
            report = under_load.stop()
        assert report.lost == 0, str(report)
        assert report.versions.keys() == first | second
    finally:
        fleet.close()
