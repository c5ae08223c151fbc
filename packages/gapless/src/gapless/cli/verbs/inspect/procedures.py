"""What apps are in the middle of: their procedures, since when, and where.

Apps that use the drain library name their procedures.  Of those that do not, `outgoing`
in their configuration lets the kernel tell which connections wait for an answer.
"""

from __future__ import annotations

import argparse
from typing import Any

from gapless.cli import output, selection, under_way
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `procedures` understands."""
    selection.add(parser)


def run(asked: argparse.Namespace) -> int:
    """List the procedures of apps."""
    client = Client()
    wanted = selection.names(client, asked.app)
    found = {row["name"]: row for row in client.request("list")["apps"]}
    rows = [found[name] for name in wanted if name in found]
    if asked.json:
        output.as_json([_for_programs(row) for row in rows])
        return 0
    cells = [
        [row["name"], *each]
        for row in rows
        for each in (*under_way.procedures(row), *under_way.calls(row))
    ]
    if cells:
        output.table(["app", *under_way.HEADINGS], cells)
    for row in rows:
        for line in _remarks(row):
            print(f"{row['name']}: {line}")
    return 0


def _remarks(row: dict[str, Any]) -> list[str]:
    """Say what the table does not: that there is nothing, or that nobody can know."""
    if not row["pids"]:
        return ["it is stopped"]
    said = []
    if more := under_way.unnamed(row):
        said.append(f"and {more} more, not named")
    if row["unanswered"]:
        said.append(f"{row['unanswered']} of its processes did not answer in time")
    if row["counts"] != "all":
        counts = "counts requests only" if row["counts"] else "does not count"
        kernel = (
            "what the kernel sees of its calls is listed"
            if row["outgoing"] is not None
            else "`outgoing` lets the kernel tell of its calls to databases"
        )
        said.append(f"it {counts}, so it names no procedures; {kernel}")
    elif not row["procedures"]:
        said.append("no procedure runs")
    return said


def _for_programs(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "app": row["name"],
        "counts": row["counts"],
        "procedures": row["procedures_named"],
        "unnamed": under_way.unnamed(row),
        "unanswered": row["unanswered"],
        "outgoing": row["outgoing"],
    }
