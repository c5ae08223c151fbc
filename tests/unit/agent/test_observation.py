"""What the supervisor's list shows of an app, in the report of its host."""

from __future__ import annotations

from gapless.agent.address import HostAddresses
from gapless.agent.observation import observed
from gapless.rollout.model import HostReport

LISTED = {
    "supervisor": {"draining": True},
    "apps": [{"name": "app", "addresses": ["0.0.0.0:3000"], "recycles": True}],
}


def test_the_list_is_reported_and_addresses_stay_known() -> None:
    """An app that is stopped for a while keeps its addresses, and its place in the pool."""
    own = HostAddresses(host="10.0.0.2", health="10.0.0.2:3001")
    report = observed(HostReport(host="a"), LISTED, "app", own)
    assert report.addresses == ("10.0.0.2:3000",)
    assert report.drains
    assert report.recycles
    assert report.health == "10.0.0.2:3001"
    report = observed(
        report, {"supervisor": {"draining": False}, "apps": []}, "app", own
    )
    assert report.addresses == ("10.0.0.2:3000",)
    assert not report.drains
    assert observed(report, None, "app", own).addresses == ("10.0.0.2:3000",)
