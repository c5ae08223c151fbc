"""The format of records: what is written is read, by older and newer versions, too."""

from __future__ import annotations

import json
from dataclasses import replace

from gapless.rollout import records
from gapless.rollout.model import HostReport, Phase, Rollout, State
from gapless.rollout.policy import Policy

OLD, NEW = "app-20260101000001", "app-20260101000002"
ROLLOUT = Rollout(
    app="app",
    number=7,
    release=NEW,
    previous=OLD,
    state=State.HELD,
    policy=Policy(canary=("a",), waves=("10%",), freeze=("22:00 - 06:00",)),
)
REPORT = HostReport(host="a", release=OLD, turn=(7, 2), phase=Phase.WATCHING)
REACHED = replace(
    REPORT,
    in_use=(OLD, NEW),
    addresses=("10.0.0.2:3000",),
    health="10.0.0.2:3001",
    drains=True,
    gone_s=90.0,
)


def test_records_come_back_as_they_were() -> None:
    """A record is decoded to the value that was encoded."""
    assert records.decode_rollout(records.encode_rollout(ROLLOUT), "app") == ROLLOUT
    ended = replace(REPORT, release="", finished=OLD)
    for report in (REPORT, REACHED, ended):
        assert records.decode_host(records.encode_host(report), "a") == report


def test_reports_of_older_and_newer_agents_are_read() -> None:
    """A field that is missing is empty; a field that is not known is left out."""
    value = records.decode("host", records.encode_host(REPORT))
    for name in ("in_use", "addresses", "health", "drains", "recycles", "finished"):
        del value[name]
    del value["gone_s"]
    old = records.decode_host(records.encode("host", value), "a")
    assert old == REPORT
    new = records.encode("host", value | {"weather": "fine"})
    assert records.decode_host(new, "a") == REPORT


def test_what_a_newer_version_adds_is_left_out() -> None:
    """Fields that are not known here do not make a rollout worthless."""
    value = json.loads(records.encode_rollout(ROLLOUT))["value"]
    newer = value | {"mood": "good", "policy": value["policy"] | {"moon": "full"}}
    assert records.decode_rollout(records.encode("rollout", newer), "app") == ROLLOUT
