"""The permit that is asked for right before a switch: it expires with the slot."""

from __future__ import annotations

from typing import Any

import pytest

from gapless.base import clock
from gapless.client import Client
from rig.hosts.host import Host
from rig.wait import free_port

SLOT_S = 60.0


@pytest.mark.parametrize("recycle", [False, True], ids=["handoff", "recycle"])
@pytest.mark.parametrize(
    ("left_s", "outcome"), [(SLOT_S, "done"), (-0.001, "failed"), (None, "done")]
)
def test_a_permit_is_worth_nothing_once_the_slot_is_over(
    host: Host, recycle: bool, left_s: float | None, outcome: str
) -> None:
    """A supervisor that was paused after it got the permit does not act on it."""
    host.start("app", ["node", "app.js"], port=free_port())
    client = Client(str(host.home))
    permitted: list[bool] = []

    def hear(event: dict[str, Any]) -> None:
        if event["step"] == "permit":
            until = None if left_s is None else clock.boottime() + left_s
            answer = client.request("permit", app="app", refused="", until=until)
            permitted.append(answer["permitted"])

    report = client.request(
        "reload", app="app", permit=True, recycle=recycle, on_event=hear
    )
    assert report["outcome"] == outcome, report
    assert permitted == [outcome == "done"]
    if outcome == "failed":
        assert "too late" in report["reason"]
        assert host.status("app") == "online"
