"""List the procedures and calls that are under way: since when, and in which process.

Apps that use the drain library name their procedures.  For apps that do not, the kernel
shows which connections wait for an answer, if the app's `outgoing` lists their ports.
"""

from __future__ import annotations

import argparse
from typing import Any

from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.cli.display import under_way
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `procedures`."""
    arguments.add_apps(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List the procedures of apps."""
    client = Client(starts=False)
    wanted = selection.names(client, args.app)
    found = {row["name"]: row for row in client.request("list")["apps"]}
    rows = [found[name] for name in wanted if name in found]
    if args.json:
        output.print_json([_json(row) for row in rows])
        return DONE
    cells = [
        [row["name"], *each]
        for row in rows
        for each in (*under_way.procedures(row), *under_way.calls(row))
    ]
    if cells:
        output.print_table(["app", *under_way.HEADINGS], cells)
    for row in rows:
        for line in _remarks(row):
            print(f"{row['name']}: {line}")
    return DONE


def _remarks(row: dict[str, Any]) -> list[str]:
    """Return what the table does not show: what is not known, or that there is nothing."""
    if not row["pids"]:
        return ["it is stopped"]
    remarks = []
    if more := under_way.unnamed(row):
        remarks.append(f"and {more} more, not named")
    if row["unanswered"]:
        remarks.append(f"{row['unanswered']} of its processes did not answer in time")
    if row["counts"] != "all":
        counts = "counts requests only" if row["counts"] else "does not count"
        kernel = (
            "its calls, as the kernel shows them, are listed"
            if row["outgoing"] is not None
            else "with `outgoing` its calls to databases are listed"
        )
        remarks.append(f"it {counts}, so it names no procedures; {kernel}")
    elif not row["procedures"]:
        remarks.append("no procedure runs")
    return remarks


def _json(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "app": row["name"],
        "counts": row["counts"],
        "procedures": row["procedures_named"],
        "unnamed": under_way.unnamed(row),
        "unanswered": row["unanswered"],
        "outgoing": row["outgoing"],
    }
