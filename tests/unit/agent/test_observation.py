"""What the supervisor's list shows of an app, in the report of its host."""

from __future__ import annotations

from typing import Any

import pytest

from gapless.agent.address import HostAddresses
from gapless.agent.observation import observed, running_release
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


def listed(status: str, **row: Any) -> dict[str, Any]:
    """Return a list with one app."""
    more: dict[str, Any] = {
        "release": "app-1",
        "reason": None,
        "finished": False,
        "addresses": [],
    }
    app = {"name": "app", "status": status, "recycles": False} | more | row
    return {"supervisor": {"draining": False}, "apps": [app]}


@pytest.mark.parametrize("status", ["stopping", "stopped"])
def test_an_app_that_has_finished_was_not_stopped_by_hand(status: str) -> None:
    """Nothing runs there; the report has the release that ended."""
    found = listed(status, finished=True)
    assert running_release(found, "app") == ""
    report = observed(HostReport(host="a"), found, "app", HostAddresses())
    assert report.finished == "app-1"
    again = observed(report, listed("online"), "app", HostAddresses())
    assert again.finished == ""


def test_an_app_that_was_stopped_by_hand_stays_so_whatever_else_is_said_of_it() -> None:
    """A log that takes nothing is a reason, too."""
    for reason in (None, "its log cannot be written: No space left on device"):
        assert running_release(listed("stopped", reason=reason), "app") is None
    assert running_release(listed("gave up", reason="gave up: x"), "app") == ""
    row = listed("stopped")
    del row["apps"][0]["finished"]  # of a supervisor that was not renewed yet
    assert running_release(row, "app") is None
