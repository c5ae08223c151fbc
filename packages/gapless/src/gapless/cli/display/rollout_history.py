"""The rollouts that have ended: as a table, or one of them with its hosts.

Each is a record of `FleetStore.history`.
"""

from __future__ import annotations

from typing import Any

from gapless.cli import output

_HEADINGS = [
    *("rollout", "release", "outcome", "began", "ended", "by"),
    *("signed by", "hosts", "reason"),
]


def print_all(history: list[dict[str, Any]]) -> None:
    """Print a table of rollouts."""
    output.print_table(_HEADINGS, [_cells(each) for each in history])


def _cells(each: dict[str, Any]) -> list[str]:
    return [
        str(each["number"]),
        str(each["release"]),
        str(each["outcome"]),
        str(each["began_at"]),
        str(each.get("ended_at", "-")),
        str(each["by"]),
        str(each.get("signed_by") or "-"),
        str(each["changed"]),
        str(each["reason"] or "-"),
    ]


def print_one(app: str, rollout: dict[str, Any], reports: str) -> None:
    """Print one rollout with its hosts; *reports* is the directory of their reports."""
    print(
        f"{app}: rollout {rollout['number']} to {rollout['release']}: "
        f"{rollout['outcome']}"
    )
    if rollout["reason"]:
        print(f"  {rollout['reason']}")
    print(f"  began {rollout['began_at']} by {rollout['by']}")
    if signed_by := rollout.get("signed_by"):  # an older record has none
        print(f"  signed by {signed_by}")
    print(f"  ended {rollout.get('ended_at', '-')}")
    rows = [
        [host, each["release"] or "-", each["phase"], each["reason"] or "-"]
        for host, each in sorted(rollout["hosts"].items())
    ]
    if rows:
        output.print_table(["host", "ran", "phase", "reason"], rows)
    print(f"  reports of the hosts: {reports}")
