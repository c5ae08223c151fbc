"""Set the restart counters of apps to zero."""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `reset`."""
    arguments.add_apps(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Reset the counters."""
    client = Client()
    names = selection.names(client, args.app)
    for app in names:
        client.request("reset", app=app)
    if args.json:
        output.print_json({"reset": names})
        return DONE
    for app in names:
        print(f"{app}: restarts are counted from zero")
    return DONE
