"""Print the pids of the instances that serve, one per line."""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pid`."""
    arguments.add_apps_or_all(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the pids."""
    client = Client(starts=False)
    names = selection.names(client, args.app or ["all"])
    rows = {row["name"]: row["pids"] for row in client.request("list")["apps"]}
    if args.json:
        output.print_json({name: rows[name] for name in names})
        return DONE
    for name in names:
        for pid in rows[name]:
            print(pid)
    return DONE
