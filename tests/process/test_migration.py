"""Hosts of PM2 move to gapless one by one; all of them follow the same link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.fleets.app_kinds import ArticleApp
from rig.fleets.fleet import APP, Fleet
from rig.fleets.script_host import publish_by_script
from rig.load import engine
from rig.load.process import run_load
from rig.wait import until

NEW = engine.Traffic(kind="new", concurrency=2, pause_s=0.01)
KEPT = engine.Traffic(kind="kept", concurrency=2, keep_alive=True, pause_s=0.01)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Return a fleet of two gapless hosts and two PM2 hosts with one shared directory."""
    found = Fleet(
        tmp_path, count=4, kind="article-post", script_hosts=2, policy="slots = 2"
    )
    assert isinstance(found.program, ArticleApp)
    found.program.more |= {"instances": 2, "kill_timeout": 1000}
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.mark.soak
def test_old_and_new_hosts_follow_one_upload_and_no_broken_one(fleet: Fleet) -> None:
    """The link moves for PM2 hosts when gapless hosts are proven; these lose no request.

    It does not move to a broken release, so no PM2 host starts that.
    """
    link = fleet.base / "dist" / APP
    first = os.readlink(link)
    member = fleet.gapless_members[0]
    with run_load(
        member.port, NEW, KEPT, host=member.address, seconds=300
    ) as under_load:
        under_load.wait_for(20)
        fleet.upload("2")
        for old in fleet.script_hosts:  # cron runs before the release is proven
            old.cron()
        if fleet.status()["state"] == "rolling":
            assert os.readlink(link) == first
            assert {fleet.runs()[old.member.name] for old in fleet.script_hosts} == {
                "1"
            }
        assert fleet.until("done", "held", "reverted", "stuck")["state"] == "done"
        until(lambda: os.readlink(link) != first, "the link to be flipped")
        for old in fleet.script_hosts:
            assert old.cron().returncode == 0
        under_load.wait_for(20)
        report = under_load.stop()
    assert set(fleet.runs().values()) == {"2"}, fleet.agent_logs()
    assert report.lost == 0, str(report)
    assert report.versions.keys() == {"1", "2"}
    assert (link / "RELEASE").read_text().strip() >= os.readlink(link)[-14:]

    second = os.readlink(link)
    fleet.upload("3 broken")
    assert fleet.until("done", "held", "reverted", "stuck")["state"] != "done"
    for old in fleet.script_hosts:
        old.cron()
    assert set(fleet.runs().values()) == {"2"}
    assert os.readlink(link) == second


@pytest.mark.soak
def test_a_release_by_the_script_stays_off_the_hosts_of_gapless(fleet: Fleet) -> None:
    """PM2 hosts take it; gapless hosts report a stranger, until a rollback to it."""
    fleet.kill_watch()
    fleet.begin("2")
    assert fleet.until("done", "held", "reverted", "stuck")["state"] == "done"
    fleet.put("3")
    done = publish_by_script(fleet.base)
    assert done.returncode == 0, done.stderr
    link = fleet.base / "dist" / APP
    assert (link / "VERSION").read_text() == "3"
    for old in fleet.script_hosts:
        old.cron()
    assert fleet.runs() == {"s0": "2", "s1": "2", "s2": "3", "s3": "3"}
    stranger = Path(os.readlink(link)).name
    assert fleet.status()["stranger"] == stranger
    output = fleet.publisher.ok("rollout", "status", APP)
    assert f"names {stranger}, which no rollout brought" in output
    fleet.publisher.ok("rollback", APP, stranger)
    assert set(fleet.runs().values()) == {"3"}
    assert not fleet.status()["stranger"]
