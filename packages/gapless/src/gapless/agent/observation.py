"""What the supervisor's list of apps shows of one app of a fleet.  Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gapless.agent.address import HostAddresses
from gapless.base import app_status
from gapless.rollout.model import HostReport

Listed = Mapping[str, Any]
"""The answer of the supervisor to `list`."""


def observed(
    report: HostReport, listed: Listed | None, app: str, own: HostAddresses
) -> HostReport:
    """Return a report with what the list shows; None: there is no supervisor.

    The addresses of the app stay known while it does not run.
    """
    if listed is None:
        return dataclasses.replace(report, health=own.health, drains=False)
    row = _row(listed, app) or {}
    addresses = own.app_addresses(row.get("addresses", ()))
    return dataclasses.replace(
        report,
        addresses=addresses or report.addresses,
        health=own.health,
        drains=bool(listed["supervisor"]["draining"]),
        recycles=bool(row.get("recycles")),
        finished=str(row["release"] or "?") if row.get("finished") else "",
    )


def running_release(listed: Listed | None, app: str) -> str | None:
    """Return the release that serves here; empty: none does.

    None: the app was stopped by hand, and did not end by itself.
    """
    row = None if listed is None else _row(listed, app)
    if row is None:
        return ""
    if not app_status.is_wanted(row["status"]) and not row.get("finished"):
        return None
    if not app_status.is_in_service(row["status"]):
        return ""
    return str(row["release"] or "?")


def _row(listed: Listed, app: str) -> dict[str, Any] | None:
    rows: list[dict[str, Any]] = listed["apps"]
    return next((each for each in rows if each["name"] == app), None)
