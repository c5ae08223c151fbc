"""Print the pids of the instances of an app that serve, one a line."""

from __future__ import annotations

import argparse

from gapless.cli import output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `pid` understands."""
    parser.add_argument("app", metavar="APP", nargs="*", help="names; none means all")
    selection.add_json(parser)


def run(asked: argparse.Namespace) -> int:
    """Print them."""
    client = Client()
    names = selection.names(client, asked.app or ["all"])
    rows = {row["name"]: row["pids"] for row in client.request("list")["apps"]}
    if asked.json:
        output.as_json({name: rows[name] for name in names})
        return 0
    for name in names:
        for pid in rows[name]:
            print(pid)
    return 0
